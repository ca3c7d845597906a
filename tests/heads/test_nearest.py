"""Tests for the nearest neighbour as an output layer."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial import distance

from metaflax import heads
from tests.heads.differences import assert_gradients_equal_differences

rng = np.random.default_rng(0)
FEATURES = rng.normal(size=(9, 3)).astype(np.float32)
QUERIES = rng.normal(size=(5, 3)).astype(np.float32)
TARGETS = np.array([0, 1, 1, 2, 0, 3, 2, 0, 1])
WEIGHTS = np.array([1, 2, 1, 0.5, 1, 0, 1, 1, 0], np.float32)


def logits(temperature=1.0, features=FEATURES, queries=QUERIES):
    head = heads.nearest(4, temperature=temperature)
    state = head.fit(head.init(jax.random.key(0)), features, TARGETS, WEIGHTS)
    return head.apply(state, queries).logits


def test_logits_are_least_squared_distances():
    squares = distance.cdist(QUERIES, FEATURES, "sqeuclidean")
    squares[:, WEIGHTS == 0] = np.inf
    expected = np.stack([squares[:, n == TARGETS].min(-1) for n in range(3)], -1)
    chex.assert_trees_all_close(logits(0.5)[:, :3], -0.5 * expected, rtol=1e-5)


def test_padding_is_never_the_nearest_even_where_it_is_the_query_itself():
    features = np.where(WEIGHTS[:, None] > 0, FEATURES, QUERIES[0])
    chex.assert_trees_all_equal(logits(features=features), logits())


def test_gradients_equal_differences():
    with jax.enable_x64(True):
        assert_gradients_equal_differences(
            heads.nearest(4, temperature=0.7),
            FEATURES.astype(float),
            TARGETS,
            WEIGHTS,
            QUERIES.astype(float),
        )


def test_the_gradient_reaches_the_nearest_of_each_class_alone():
    def value(features):
        return jnp.sum(logits(features=features, queries=QUERIES[:1])[:, :3])

    squares = distance.cdist(QUERIES[:1], FEATURES, "sqeuclidean")[0]
    squares[WEIGHTS == 0] = np.inf
    expected = {np.where(n == TARGETS, squares, np.inf).argmin() for n in range(3)}
    reached = np.flatnonzero(np.abs(jax.grad(value)(FEATURES)).sum(-1))
    assert set(reached.tolist()) == expected


def test_gradients_are_finite_where_a_query_is_a_support_unit():
    def value(features):
        return jnp.sum(jax.nn.log_softmax(logits(1e3, features, features)))

    chex.assert_tree_all_finite(jax.grad(value)(FEATURES))


def test_nothing_as_large_as_units_by_units_by_classes_is_stored():
    units, classes = 500, 12
    head = heads.nearest(classes)
    targets = jnp.arange(units) % classes

    def answers(features, queries):
        state = head.fit(head.init(None), features, targets, jnp.ones(units))
        return head.apply(state, queries).logits

    shape = jax.ShapeDtypeStruct((units, 2), jnp.float32)
    compiled = jax.jit(answers).lower(shape, shape).compile()
    used = compiled.memory_analysis().temp_size_in_bytes
    assert used < 3 * units * units * 4


def test_a_temperature_that_is_not_above_zero_is_refused():
    with pytest.raises(ValueError, match="temperature is above 0, got 0"):
        heads.nearest(2, temperature=0)
