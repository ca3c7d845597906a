"""Tests for the linear layer that is initialised with zeros."""

import chex
import jax
import jax.numpy as jnp
import numpy as np

from metaflax import heads, losses


def test_nothing_is_learned_and_all_present_classes_begin_alike():
    head = heads.zeros(2, 3)
    assert head.init(jax.random.key(0)) == {}
    state = head.fit({}, jnp.ones((2, 2)), np.array([2, 0]), jnp.ones(2))
    probabilities = jax.nn.softmax(head.apply(state, jnp.ones((1, 2))).logits)
    chex.assert_trees_all_close(probabilities, jnp.array([[0.5, 0, 0.5]]))


def test_a_first_step_moves_a_class_towards_its_members_and_away_from_the_rest():
    head = heads.zeros(2, 2)
    features = jnp.array([[1.0, 0.0], [0.0, 2.0]])
    targets, weights = np.array([0, 1]), np.ones(2, np.float32)
    state = head.fit({}, features, targets, weights)

    def loss(kernel):
        outputs = head.apply(state | {"kernel": kernel}, features)
        return losses.softmax_cross_entropy(outputs, targets, weights)

    # The mean over units of (p - y) f, with p = 1/2.
    expected = jnp.array([[-0.25, 0.25], [0.5, -0.5]])
    chex.assert_trees_all_close(jax.grad(loss)(state["kernel"]), expected)
