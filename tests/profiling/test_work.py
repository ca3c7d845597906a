"""Tests for counting the work of a compiled program, compared with XLA's count."""

import jax
import jax.numpy as jnp
import pytest

from metaflax import profiling
from metaflax.profiling import _hlo, _work

X, W = jnp.ones((64, 32)), jnp.ones((32, 16))


def compiled(fn, *args):
    return jax.jit(fn).lower(*args).compile()


def mlp_grad(w, x):
    return jax.grad(lambda w: jnp.sum(jax.nn.softmax(jnp.tanh(x @ w) @ w.T)[:, 0]))(w)


@pytest.mark.parametrize(
    ("fn", "args", "flops"),
    [
        (lambda x, w: jnp.tanh(x @ w), (X, W), 2 * 64 * 32 * 16),
        (mlp_grad, (W, X), 5 * 2 * 64 * 32 * 16),
        (lambda x: jnp.einsum("abc,adc->abd", x, x), (X.reshape(4, 16, 32),), 65536),
        (lambda x: jnp.exp(x) + 1, (X,), 0),
    ],
)
def test_without_loops_the_count_is_that_of_xla(fn, args, flops):
    step = compiled(fn, *args)
    found, theirs = profiling.cost(step), step.cost_analysis()
    assert found.flops == flops
    assert found.flops <= theirs["flops"]  # XLA counts other arithmetic too.
    assert found.bytes_moved == pytest.approx(theirs["bytes accessed"], rel=0.05)


def test_loops_count_as_often_as_they_run():
    def looped(x, w):
        return jax.lax.scan(lambda x, _: (jnp.tanh(x @ w @ w.T), None), x, None, 7)[0]

    step = compiled(looped, X, W)
    assert profiling.cost(step).flops == 7 * 2 * 2 * 64 * 32 * 16
    assert step.cost_analysis()["flops"] < 2 * profiling.cost(step).flops / 7


def test_a_slice_moves_what_it_takes_and_no_more():
    table = jnp.ones((1000, 32))
    step = compiled(lambda x, i: x[i], table, jnp.arange(4))
    assert profiling.cost(step).bytes_moved < table.nbytes / 10


def test_memory_is_that_of_xla_and_what_is_donated_counts_once():
    step = jax.jit(lambda x: x + 1, donate_argnums=0).lower(X).compile()
    cost = profiling.cost(step)
    assert (cost.arguments, cost.outputs, cost.aliased) == (8192, 8192, 8192)
    assert (cost.new, cost.peak) == (cost.temporaries, 8192 + cost.temporaries)
    assert cost.record()["memory_bytes"]["peak"] == cost.peak


# Matrix products in the HLO of other backends.
ELSEWHERE = """HloModule jit_f, is_scheduled=true

ENTRY %main.5 (a: f32[64,32], b: f32[32,16]) -> f32[64,16] {
  %a = f32[64,32]{1,0:T(8,128)} parameter(0)
  %b = f32[32,16]{1,0:T(8,128)} parameter(1)
  %library.1 = (f32[64,16]{1,0}, s8[4194304]{0}) custom-call(%a, %b), custom_call_target="__cublas$gemm", metadata={op_name="jit(f)/dot_general"}, backend_config={"gemm_backend_config":{"dot_dimension_numbers":{"lhs_contracting_dimensions":["1"],"rhs_contracting_dimensions":["0"]}}}
  ROOT %convolution.1 = f32[64,16]{1,0} convolution(%a, %b), dim_labels=bf_io->bf, metadata={op_name="jit(f)/dot_general"}
}
"""  # noqa: E501


def test_products_of_other_backends_are_known():
    program = _hlo.parse(ELSEWHERE)
    analyst = _work.Analyst(program)
    for name in ("library.1", "convolution.1"):
        op = program.operations()[name]
        assert analyst.flops(op) == 2 * 64 * 32 * 16
        assert analyst.kind(op) == "matrix product"
        assert op.path == "jit(f)/dot_general"


def test_the_costlier_branch_counts():
    def branch(flag, x, w):
        return jax.lax.cond(flag, lambda: x @ w @ w.T, lambda: x)

    assert profiling.cost(compiled(branch, True, X, W)).flops == 4 * 64 * 32 * 16


def test_what_is_no_program_is_refused():
    with pytest.raises(ValueError, match="not an HLO module"):
        _hlo.parse("module @jit_f {}")
