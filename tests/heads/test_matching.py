"""Tests for attention over the support set."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaflax import heads

rng = np.random.default_rng(0)
FEATURES = rng.normal(size=(6, 3)).astype(np.float32)
QUERIES = rng.normal(size=(4, 3)).astype(np.float32)
TARGETS = np.array([0, 1, 1, 2, 0, 3])
WEIGHTS = np.array([1, 2, 1, 1, 1, 0], np.float32)


def logits(temperature, queries=QUERIES, features=FEATURES):
    head = heads.matching(4, temperature=temperature)
    state = head.fit(head.init(jax.random.key(0)), features, TARGETS, WEIGHTS)
    return head.apply(state, queries).logits


def cosines():
    length = lambda x: np.linalg.norm(x, axis=-1, keepdims=True)  # noqa: E731
    return QUERIES / length(QUERIES) @ (FEATURES / length(FEATURES)).T


def test_probabilities_are_the_attention_that_falls_on_each_class():
    attention = np.exp(3 * cosines()) * WEIGHTS
    attention = attention / attention.sum(-1, keepdims=True)
    expected = np.stack([attention[:, n == TARGETS].sum(-1) for n in range(4)], -1)
    chex.assert_trees_all_close(jnp.exp(logits(3.0)), expected, rtol=1e-4, atol=1e-7)
    chex.assert_trees_all_close(
        jax.nn.softmax(logits(3.0)), expected, rtol=1e-4, atol=1e-7
    )


def test_a_sharp_temperature_gives_the_nearest_neighbours_class():
    sharp = logits(1e4)
    chex.assert_tree_all_finite(sharp)
    nearest = TARGETS[np.argmax(np.where(WEIGHTS > 0, cosines(), -2), -1)]
    assert np.argmax(sharp, -1).tolist() == nearest.tolist()


def test_gradients_are_finite_at_a_sharp_temperature():
    def value(temperature_features):
        return jnp.sum(jax.nn.log_softmax(logits(1e4, features=temperature_features)))

    chex.assert_tree_all_finite(jax.grad(value)(FEATURES))


def test_counts_of_examples_receive_no_gradient():
    head = heads.matching(4)
    state = head.fit(head.init(jax.random.key(0)), FEATURES, TARGETS, WEIGHTS)

    def value(part):
        return jnp.sum(jax.nn.softmax(head.apply(state | part, QUERIES).logits)[:, 0])

    part = {name: state[name] for name in ("weights", "features", "scale")}
    grads = jax.grad(value)(part)
    assert np.all(np.asarray(grads["weights"]) == 0)
    assert np.any(np.asarray(grads["features"]) != 0)
    assert grads["scale"] != 0


def test_a_temperature_that_is_not_above_zero_is_refused():
    with pytest.raises(ValueError, match="temperature is above 0, got 0"):
        heads.matching(2, temperature=0)
