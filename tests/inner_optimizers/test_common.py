"""Test suite for all inner optimizers."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metaflax import base, inner_optimizers
from tests import marks
from tests.inner_optimizers import problems

KEY = jax.random.key(0)
RATE = 0.1


def first_part(path):
    return path.partition("/")[0]


STEEPEST = {
    "per tensor": inner_optimizers.learned_rates(RATE),
    "per layer": inner_optimizers.learned_rates(RATE, per="layer"),
    "per parameter": inner_optimizers.learned_rates(RATE, per="parameter"),
    "per group": inner_optimizers.learned_rates(RATE, per=first_part),
    "per tensor and step": inner_optimizers.learned_rates(RATE, num_steps=2),
    "per layer and step": inner_optimizers.learned_rates(
        RATE, per="layer", num_steps=3
    ),
    "meta_curvature": inner_optimizers.meta_curvature(RATE),
    "kronecker": inner_optimizers.kronecker(2, RATE),
    "sgd": inner_optimizers.learned(optax.sgd, learning_rate=RATE),
}
ADAM = functools.partial(optax.adam, eps_root=1e-8)
OTHERS = {
    "rates of adam": inner_optimizers.learned_rates(
        RATE, optimizer=optax.scale_by_adam(eps_root=1e-8)
    ),
    "momentum": inner_optimizers.learned(optax.sgd, learning_rate=RATE, momentum=0.9),
    "adam": inner_optimizers.learned(ADAM, learning_rate=RATE, b1=0.9, b2=0.99),
}
ALL = {**STEEPEST, **OTHERS}

steepest = pytest.mark.parametrize("optimizer", STEEPEST.values(), ids=STEEPEST)
every = pytest.mark.parametrize("optimizer", ALL.values(), ids=ALL)


def test_every_one_is_tried():
    tried = {"kronecker", "learned", "learned_rates", "meta_curvature"}
    assert tried == set(inner_optimizers.__all__)


@steepest
def test_it_begins_as_gradient_descent_exactly(optimizer):
    fast, support = problems.fast_like(), problems.support_like()
    hyper = optimizer.init(KEY, fast)
    found = problems.solve(optimizer.make, hyper, fast, support)
    expected = problems.solve_plain(optax.sgd(RATE), fast, support)
    chex.assert_trees_all_equal(found, expected)


@every
def test_gradients_reach_every_number_and_agree_with_differences(optimizer):
    with jax.enable_x64(True):
        fast = problems.fast_like(jnp.float64)
        support = problems.support_like(jnp.float64)
        hyper = problems.off_start(optimizer.init(KEY, fast))

        @jax.jit
        @jax.value_and_grad
        def query_loss(hyper):
            adapted = problems.solve(optimizer.make, hyper, fast, support)
            query = problems.support_like(jnp.float64, seed=3)
            return problems.loss_fn(adapted, None, query, None)

        leaves, treedef = jax.tree.flatten(hyper)
        _, grads = query_loss(hyper)
        for place, grad in enumerate(jax.tree.leaves(grads)):
            direction = np.random.default_rng(place).normal(size=grad.shape)

            def at(distance, place=place, direction=direction):
                moved = list(leaves)
                moved[place] = moved[place] + distance * direction
                return query_loss(treedef.unflatten(moved))[0]

            expected = (at(1e-5) - at(-1e-5)) / 2e-5
            assert np.all(np.asarray(grad) != 0)
            np.testing.assert_allclose(
                np.vdot(grad, direction), expected, rtol=1e-6, atol=1e-9
            )


@every
def test_shapes_are_all_that_init_reads_of_what_adapts(optimizer):
    fast = problems.fast_like()
    shapes = jax.eval_shape(lambda: fast)
    chex.assert_trees_all_equal(optimizer.init(KEY, shapes), optimizer.init(KEY, fast))


@every
def test_what_does_not_adapt_has_no_update(optimizer):
    fast = problems.fast_like()
    made = optimizer.make(optimizer.init(KEY, fast))
    updates, _ = made.update(fast, made.init(fast), fast)
    assert updates["frozen"]["kernel"] is None
    chex.assert_trees_all_equal_structs(updates, fast)


@every
def test_where_nothing_adapts_nothing_is_done(optimizer):
    fast = {"frozen": None}
    made = optimizer.make(optimizer.init(KEY, fast))
    updates, _ = made.update(fast, made.init(fast), fast)
    assert updates == fast


@every
@pytest.mark.parametrize("num_steps", marks.quick([2, 5], [2]))
def test_types_of_what_adapts_are_kept_and_learned_numbers_are_wide(
    optimizer, num_steps
):
    fast = problems.fast_like(jnp.bfloat16)
    hyper = optimizer.init(KEY, fast)
    assert {x.dtype for x in jax.tree.leaves(hyper)} == {jnp.dtype("float32")}
    made = optimizer.make(hyper)
    updates, _ = made.update(fast, made.init(fast), fast)
    chex.assert_trees_all_equal_dtypes(updates, fast)
    support = problems.support_like(jnp.bfloat16)
    adapted = problems.solve(optimizer.make, hyper, fast, support, num_steps)
    chex.assert_trees_all_equal_shapes_and_dtypes(adapted, fast)


@every
def test_new_hyperparameters_are_no_new_trace(optimizer):
    @jax.jit
    @chex.assert_max_traces(1)
    def adapt(hyper, fast):
        support = problems.support_like()
        return problems.solve(optimizer.make, hyper, fast, support)

    fast = problems.fast_like()
    hyper = optimizer.init(KEY, fast)
    first, second = adapt(hyper, fast), adapt(problems.off_start(hyper), fast)
    assert first["gain"] != second["gain"]


@every
def test_tasks_side_by_side_are_tasks_one_by_one(optimizer):
    fast = problems.fast_like()
    hyper = problems.off_start(optimizer.init(KEY, fast))

    def adapt(inputs, targets):
        support = base.Batch(inputs, targets, None)
        return problems.solve(optimizer.make, hyper, fast, support)

    tasks = [problems.support_like(seed=seed) for seed in (1, 2)]
    inputs, targets = (jnp.stack([t[i] for t in tasks]) for i in (0, 1))
    one_by_one = [adapt(t.inputs, t.targets) for t in tasks]
    chex.assert_trees_all_close(
        jax.vmap(adapt)(inputs, targets),
        jax.tree.map(lambda *xs: jnp.stack(xs), *one_by_one),
        rtol=1e-4,
        atol=1e-6,
    )
