"""Tests for counting the matrix products of a function."""

import jax
import jax.numpy as jnp
import pytest

from metaflax import profiling


def test_products_are_counted_through_loops_and_branches():
    def fn(x, w):
        def step(x, _):
            return jax.lax.cond(x[0, 0] > 0, lambda v: v @ w, lambda v: v, x), None

        return jax.lax.scan(step, x, None, length=5)[0]

    count = profiling.matmul_flops(fn, jnp.ones((2, 3)), jnp.ones((3, 3)))
    assert count == 5 * 2 * 2 * 3 * 3


def test_loops_of_unknown_length_run_as_often_as_is_said():
    def fn(x):
        return jax.lax.while_loop(lambda x: x.sum() < 1e6, lambda x: x @ x, x)

    count = profiling.matmul_flops(fn, jnp.ones((4, 4)), while_steps=3)
    assert count == 3 * 2 * 4**3


@pytest.mark.parametrize("size", [3, 8])
def test_the_compiled_program_computes_as_much(size):
    def fn(x, w):
        loss = lambda w: jnp.sum(jnp.tanh(jnp.tanh(x @ w) @ w))  # noqa: E731
        return jax.value_and_grad(loss)(w)

    x, w = jnp.ones((5, size)), jnp.ones((size, size))
    compiled = jax.jit(fn).lower(x, w).compile()
    assert profiling.matmul_flops(fn, x, w) == profiling.cost(compiled).flops
