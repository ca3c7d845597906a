"""Tests for the inner solve against a plain Python loop."""

import chex
import jax
import jax.numpy as jnp
import optax
import pytest

from metaflax import base, inner

PARAMS = jnp.array([2.0, -1.0])
SUPPORT = base.Batch(None, jnp.array([0.5, 0.25]), jnp.ones(2))
OPTIMIZER = optax.sgd(0.1, momentum=0.9)


def loss_fn(fast, fixed, support, key):
    noise = 0.0 if key is None else jax.random.normal(key, fast.shape)
    return 0.5 * jnp.sum(fixed * (fast - support.targets + noise) ** 2)


def problem(num_steps):
    return base.InnerProblem(
        start=lambda params, support, key: (params, jnp.array([1.0, 2.0])),
        loss=loss_fn,
        optimizer=lambda params: OPTIMIZER,
        num_steps=num_steps,
    )


def by_loop(num_steps, key):
    keys = [None] * num_steps
    if key is not None:
        keys = jax.random.split(jax.random.split(key)[1], num_steps)
    fast, state, losses = PARAMS, OPTIMIZER.init(PARAMS), []
    for step_key in keys:
        loss, grads = jax.value_and_grad(loss_fn)(
            fast, jnp.array([1.0, 2.0]), SUPPORT, step_key
        )
        updates, state = OPTIMIZER.update(grads, state)
        fast = optax.apply_updates(fast, updates)
        losses.append(loss)
    return fast, jnp.stack(losses)


@pytest.mark.parametrize("max_unrolled", [0, 3])
@pytest.mark.parametrize("seed", [None, 0])
def test_unrolled_or_scanned_steps_are_those_of_a_python_loop(
    monkeypatch, max_unrolled, seed
):
    monkeypatch.setattr(inner, "_MAX_UNROLLED_STEPS", max_unrolled)
    key = None if seed is None else jax.random.key(seed)
    solution = inner.solve(problem(3), PARAMS, SUPPORT, key)
    fast, losses = by_loop(3, key)
    chex.assert_trees_all_close(solution.fast, fast, rtol=1e-6)
    chex.assert_trees_all_close(solution.info.losses, losses, rtol=1e-6)
    chex.assert_trees_all_equal(solution.start, PARAMS)
    chex.assert_trees_all_equal(solution.fixed, jnp.array([1.0, 2.0]))


def test_few_steps_are_unrolled_and_many_are_not():
    def num_loops(num_steps):
        jaxpr = jax.jit(lambda p: inner.solve(problem(num_steps), p, SUPPORT).fast)
        return jaxpr.lower(PARAMS).as_text().count("stablehlo.while")

    few = inner._MAX_UNROLLED_STEPS
    assert (num_loops(few), num_loops(few + 1)) == (0, 1)


def test_without_steps_the_solution_is_the_start():
    solution = inner.solve(problem(0), PARAMS, SUPPORT, jax.random.key(0))
    chex.assert_trees_all_equal(solution.fast, PARAMS)
    chex.assert_shape(solution.info.losses, (0,))


def test_an_estimator_may_bring_its_own_inner_gradient():
    def tripled(fn):
        def value_and_grad(*args):
            value, grads = jax.value_and_grad(fn)(*args)
            return value, jax.tree.map(lambda g: 3 * g, grads)

        return value_and_grad

    plain = inner.solve(problem(1), PARAMS, SUPPORT)
    other = inner.solve(problem(1), PARAMS, SUPPORT, phases=[inner.Phase(1, tripled)])
    chex.assert_trees_all_close(
        other.fast - PARAMS, 3 * (plain.fast - PARAMS), rtol=1e-5
    )


def test_the_optimizer_may_depend_on_meta_parameters():
    learned = problem(1)._replace(optimizer=lambda params: optax.sgd(params[0]))
    solution = inner.solve(learned, PARAMS, SUPPORT)
    grads = jnp.array([1.0, 2.0]) * (PARAMS - SUPPORT.targets)
    chex.assert_trees_all_close(solution.fast, PARAMS - 2.0 * grads, rtol=1e-6)
