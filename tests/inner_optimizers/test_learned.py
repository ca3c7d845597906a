"""Tests for optax's optimizers with learned hyperparameters."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metaflax.inner_optimizers import learned
from tests.inner_optimizers import problems

KEY = jax.random.key(0)
ROOT = {"eps_root": 1e-8}


@pytest.mark.parametrize(
    ("factory", "numbers"),
    [
        (optax.sgd, {"momentum": 0.9}),
        (partial(optax.sgd, nesterov=True), {"momentum": 0.9}),
        (partial(optax.adam, **ROOT), {"b1": 0.9, "b2": 0.99}),
        (partial(optax.adamw, **ROOT), {"b1": 0.9, "weight_decay": 0.1}),
        (partial(optax.nadam, **ROOT), {"b2": 0.99}),
        (partial(optax.adabelief, **ROOT), {"b1": 0.9}),
        (optax.rmsprop, {"decay": 0.9, "momentum": 0.5}),
        (optax.adagrad, {"initial_accumulator_value": 0.1}),
        (optax.lion, {"weight_decay": 0.1}),
    ],
)
def test_it_begins_as_the_optimizer_with_these_numbers(factory, numbers):
    numbers = {"learning_rate": 0.05, **numbers}
    optimizer = learned(factory, **numbers)
    fast, support = problems.fast_like(), problems.support_like()
    hyper = optimizer.init(KEY, fast)
    plain = factory(**numbers)
    expected = jax.jit(lambda: problems.solve_plain(plain, fast, support))()

    @jax.jit
    @partial(jax.grad, has_aux=True)
    def grad(hyper):
        adapted = problems.solve(optimizer.make, hyper, fast, support)
        return problems.loss_fn(adapted, None, support, None), adapted

    grads, adapted = grad(hyper)
    chex.assert_trees_all_close(adapted, expected, rtol=1e-5, atol=1e-6)
    assert all(np.isfinite(g) and g != 0 for g in grads.values())


def test_the_numbers_are_stored_as_they_are():
    hyper = learned(optax.sgd, learning_rate=-0.5, momentum=1.5).init(KEY, {})
    expected = {"learning_rate": jnp.array(-0.5), "momentum": jnp.array(1.5)}
    chex.assert_trees_all_equal(hyper, expected)


def test_learned_momentum_has_its_closed_form():
    # On x^2 / 2 from 1: x_1 = 1 - a and x_2 = x_1 - a (x_1 + m), so x_2' is -a in m.
    optimizer = learned(optax.sgd, learning_rate=0.5, momentum=0.25)

    def x_2(hyper):
        start = jnp.array(1.0)
        return problems.solve(
            optimizer.make, hyper, start, None, 2, problems.half_square
        )

    value, grads = jax.value_and_grad(x_2)(optimizer.init(KEY, jnp.array(1.0)))
    np.testing.assert_allclose(value, 0.5 - 0.5 * (0.5 + 0.25), rtol=1e-6)
    np.testing.assert_allclose(grads["momentum"], -0.5, rtol=1e-6)
    # (1 - a)^2 - a m
    np.testing.assert_allclose(grads["learning_rate"], -2 * 0.5 - 0.25, rtol=1e-6)


def test_the_state_does_not_change_its_type_between_steps():
    optimizer = learned(partial(optax.adam, **ROOT), learning_rate=0.1, b1=0.9)
    fast = problems.fast_like(jnp.bfloat16)
    made = optimizer.make(optimizer.init(KEY, fast))
    before = made.init(fast)
    _, after = made.update(fast, before, fast)
    chex.assert_trees_all_equal_shapes_and_dtypes(before, after)


def test_adam_at_a_gradient_of_zero_has_a_derivative():
    optimizer = learned(partial(optax.adam, **ROOT), learning_rate=0.1, b1=0.9)

    def adapted(hyper):
        start = jnp.zeros(())
        return problems.solve(
            optimizer.make, hyper, start, None, 2, problems.half_square
        )

    grads = jax.grad(adapted)(optimizer.init(KEY, jnp.zeros(())))
    assert all(np.isfinite(g) for g in jax.tree.leaves(grads))


@pytest.mark.parametrize("factory", [optax.adam, optax.adamw, optax.radam])
def test_a_root_of_zero_is_refused_with_the_way_out(factory):
    with pytest.raises(ValueError, match=r"partial\(optax.adam, eps_root=1e-8\)"):
        learned(factory, learning_rate=0.1)


def test_what_keeps_the_root_from_zero_is_not_learned():
    with pytest.raises(ValueError, match="fix a positive one"):
        learned(optax.adam, learning_rate=0.1, eps_root=1e-8)


def test_numbers_that_the_factory_does_not_take_are_refused_with_those_it_does():
    with pytest.raises(ValueError, match="'moment'; it takes learning_rate, momentum"):
        learned(optax.sgd, learning_rate=0.1, moment=0.9)


def test_numbers_that_the_factory_lacks_are_named():
    with pytest.raises(ValueError, match="missing a required argument: 'learning_"):
        learned(optax.sgd, momentum=0.9)


@pytest.mark.parametrize("value", [True, None, "0.9", optax.constant_schedule(0.1)])
def test_what_is_no_number_is_bound_and_not_learned(value):
    with pytest.raises(ValueError, match=r"no number to learn; bind it to the fact"):
        learned(optax.sgd, learning_rate=0.1, nesterov=value)


def test_learning_nothing_is_refused():
    with pytest.raises(ValueError, match="nothing of sgd is learned; name a number"):
        learned(optax.sgd)
