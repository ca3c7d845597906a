"""Tests for class means with cosine similarity."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaflax import heads

FEATURES = np.array([[3, 0], [0, 2], [0, 5]], np.float32)
TARGETS, WEIGHTS = np.array([0, 0, 1]), np.ones(3, np.float32)


def logits(queries, features=FEATURES):
    head = heads.cosine_prototypes(2, temperature=2.0)
    state = head.fit(head.init(jax.random.key(0)), features, TARGETS, WEIGHTS)
    return head.apply(state, jnp.asarray(queries)).logits


def test_logits_are_cosines_with_the_mean_direction_times_the_temperature():
    # The direction of class 0 is half-way between the axes: lengths do not matter.
    root = 2**0.5
    chex.assert_trees_all_close(
        logits([[7.0, 0.0], [0.0, -1.0]]),
        jnp.array([[root, 0], [-root, -2]]),
        rtol=1e-5,
    )


def test_lengths_of_features_and_queries_do_not_matter():
    lengths = np.array([[0.1], [1], [20]], np.float32)
    chex.assert_trees_all_close(
        logits([[6.0, 3.0]], lengths * FEATURES), logits([[2.0, 1.0]]), rtol=1e-5
    )


def test_a_query_of_length_zero_is_as_near_to_every_class():
    assert np.all(np.asarray(logits([[0.0, 0.0]])) == 0)


def test_members_that_cancel_leave_a_class_without_direction_and_a_finite_gradient():
    opposite = np.array([[1, 0], [-1, 0], [0, 5]], np.float32)
    gradient = jax.grad(lambda x: jnp.sum(logits([[1.0, 2.0]], x)))(opposite)
    chex.assert_tree_all_finite(gradient)


def test_the_temperature_is_learned_on_a_log_scale():
    params = heads.cosine_prototypes(2, temperature=3.0).init(jax.random.key(0))
    chex.assert_trees_all_close(params, {"log_temperature": jnp.log(3.0)})


def test_a_temperature_that_is_not_above_zero_is_refused():
    with pytest.raises(ValueError, match="temperature is above 0, got -2"):
        heads.cosine_prototypes(2, temperature=-2)
