"""Tests for adapting to episodes and scoring their queries.

Features are the inputs themselves, so that class means and predictions are obvious.
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaflax import algorithms, base, evaluation, heads, losses, metrics

ALGORITHM = algorithms.frozen(
    lambda params, inputs, key: inputs,
    losses.softmax_cross_entropy,
    lambda key: {},
    head=heads.prototypes(2),
)
PARAMS = ALGORITHM.init(jax.random.key(0))
# Number of the four queries that are at their class mean; the fifth is padding.
RIGHT = np.array([4, 1, 3, 0, 2, 4])


def episode(right):
    support = base.Batch(np.array([[0.0], [1.0]]), np.array([0, 1]), np.ones(2))
    inputs = np.where(np.arange(5) < right, 0.1, 0.8)[:, None]
    weights = (np.arange(5) < 4).astype(np.float32)
    query = base.Batch(inputs, np.zeros(5, int), weights)
    return jax.tree.map(jnp.asarray, base.Task(support, query))


def batches(rights):
    for pair in np.reshape(rights, (-1, 2)):
        yield jax.tree.map(lambda *xs: jnp.stack(xs), *map(episode, pair))


def scorer(task_loop="auto"):
    return evaluation.scorer(
        ALGORITHM,
        losses.softmax_cross_entropy,
        {"accuracy": metrics.accuracy},
        task_loop=task_loop,
    )


@pytest.fixture(scope="module")
def scores():
    score = scorer("scan")
    return evaluation.evaluate(score, PARAMS, batches(RIGHT)), score


def test_scores_come_in_the_order_of_the_episodes(scores):
    found, _ = scores
    np.testing.assert_allclose(found.metrics["accuracy"], RIGHT / 4)
    chex.assert_shape(found.logits, (6, 5, 2))
    said = found.logits.argmax(-1)[:, :4]
    np.testing.assert_array_equal((said == 0).sum(-1), RIGHT)


def test_the_loss_is_among_the_metrics(scores):
    found, _ = scores
    # Squared distances 0.01 and 0.81 when right, 0.64 and 0.04 when wrong.
    right, wrong = np.log1p(np.exp(-0.8)), np.log1p(np.exp(0.6))
    expected = (RIGHT * right + (4 - RIGHT) * wrong) / 4
    np.testing.assert_allclose(found.metrics["loss"], expected, rtol=1e-5)


def test_many_batches_are_compiled_once(scores):
    _, score = scores
    assert score._cache_size() == 1


@pytest.mark.parametrize("task_loop", ["vmap", "auto"])
def test_the_order_of_computation_does_not_matter(scores, task_loop):
    by_scan, _ = scores
    other = evaluation.evaluate(scorer(task_loop), PARAMS, batches(RIGHT))
    chex.assert_trees_all_close(other, by_scan, rtol=1e-5)


def test_no_episode_is_refused():
    with pytest.raises(ValueError, match="no episode to evaluate on"):
        evaluation.evaluate(scorer(), PARAMS, iter(()))
