"""Tests for the outer step: purity, donation, and selected parameters."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import metaflax
from metaflax import base, training, tree
from tests.training import quadratic

SGD = optax.sgd(0.1)
TASKS = quadratic.tasks(3.0, -1.0)


@functools.cache
def noisy_step():
    return training.make_step(quadratic.ALGORITHM, SGD)


@functools.cache
def plain_step():
    return training.make_step(quadratic.ALGORITHM, SGD, dropout=False)


def test_a_step_descends_the_mean_over_tasks_and_says_so():
    state, metrics = plain_step()(quadratic.state(SGD), TASKS)
    # Eight numbers at 1, targets 3 and -1: each has gradient (-2 + 2) / 2 = 0.
    chex.assert_trees_all_close(state.params, quadratic.PARAMS)
    chex.assert_trees_all_close(metrics["query_losses"], jnp.array([16.0, 16.0]))
    chex.assert_trees_all_close(metrics["loss"], jnp.array(16.0))
    assert metrics["grad_norm"] == 0
    state, metrics = plain_step()(state, quadratic.tasks(3.0, 3.0))
    expected = jax.tree.map(lambda x: x + 0.2, quadratic.PARAMS)
    chex.assert_trees_all_close(state.params, expected, rtol=1e-6)
    chex.assert_trees_all_close(metrics["grad_norm"], jnp.sqrt(8 * 4.0), rtol=1e-6)
    assert (int(state.step), state.step.dtype) == (2, jnp.int32)


def test_the_same_state_gives_the_same_step_and_another_key_another():
    first, again, other = (
        noisy_step()(quadratic.state(SGD, seed=seed), TASKS)[0].params
        for seed in (0, 0, 1)
    )
    chex.assert_trees_all_equal(first, again)
    assert not np.allclose(first["head"]["bias"], other["head"]["bias"])


def test_each_step_and_each_task_draws_noise_of_its_own():
    state = quadratic.state(SGD)
    before = np.asarray(jax.random.key_data(state.key)).copy()
    same = quadratic.tasks(1.0, 1.0)
    state, first = noisy_step()(state, same)
    assert first["query_losses"][0] != first["query_losses"][1]
    reset = state._replace(params=jax.tree.map(jnp.array, quadratic.PARAMS))
    state, second = noisy_step()(reset, same)
    assert not set(first["query_losses"].tolist()) & set(
        second["query_losses"].tolist()
    )
    np.testing.assert_array_equal(jax.random.key_data(state.key), before)


def test_without_dropout_the_key_does_not_matter():
    first, other = (
        plain_step()(quadratic.state(SGD, seed=seed), TASKS) for seed in (0, 1)
    )
    chex.assert_trees_all_equal(first[0].params, other[0].params)
    chex.assert_trees_all_equal(first[1], other[1])


def test_the_state_is_donated_and_what_it_was_made_of_is_not():
    key = jax.random.key(0)
    state = training.create(quadratic.PARAMS, SGD, key)
    noisy_step()(state, TASKS)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state.params))
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(quadratic.PARAMS))
    jax.random.normal(key)  # Would fail on a key that is gone.


def test_what_is_not_trained_stays_bit_identical_and_has_no_optimizer_state():
    trains = ["encoder", "!*/bias"]
    optimizer = training.outer_optimizer("adamw", 0.1)
    state = quadratic.state(optimizer, trains=trains)
    moments = state.opt_state[1][0]
    assert tree.paths(moments.mu) == tree.paths(moments.nu) == ["encoder/kernel"]
    step = training.make_step(quadratic.ALGORITHM, optimizer, trains=trains)
    state, _ = step(state, TASKS)
    chosen, rest = tree.partition(state.params, trains)
    chex.assert_trees_all_equal(rest, tree.partition(quadratic.PARAMS, trains)[1])
    assert np.all(np.asarray(chosen["encoder"]["kernel"]) != 1)


def test_training_nothing_is_refused_with_paths_that_are_there():
    with pytest.raises(ValueError, match="no parameter matches 'hat'.*encoder/bias"):
        quadratic.state(SGD, trains="hat")


def test_a_step_says_of_which_tasks_inner_steps_diverged():
    """On (w x - y)^2 / 2 a step shrinks the distance by 1 - rate x^2."""
    algorithm = metaflax.maml(
        apply_fn=lambda w, x, key: w * x,
        loss_fn=lambda out, y, weights: 0.5 * jnp.mean((out - y) ** 2),
        init_fn=lambda key: jnp.zeros(()),
        inner_optimizer=optax.sgd(0.5),
        num_steps=3,
    )
    inputs = jnp.array([[1.0], [1.9], [3.0]])
    batch = base.Batch(inputs, jnp.ones((3, 1)), jnp.ones((3, 1)))
    state = training.create(jnp.zeros(()), SGD, jax.random.key(0))
    _, metrics = training.make_step(algorithm, SGD)(state, base.Task(batch, batch))
    assert metrics["inner_diverged"].tolist() == [False, False, True]
    lost = base.InnerInfo(jnp.array([[1.0, jnp.nan], [jnp.inf, 0.5], [2.0, 1.0]]))
    assert lost.diverged.tolist() == [True, True, False]
    assert not base.InnerInfo(jnp.ones(1)).diverged
