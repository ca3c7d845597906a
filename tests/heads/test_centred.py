"""Tests for heads on features that are centred and scaled to unit length."""

import chex
import jax
import numpy as np
import pytest

from metaflax import heads
from tests.heads.differences import assert_gradients_equal_differences

rng = np.random.default_rng(0)
TARGETS = np.array([0, 1, 1, 0, 2, 2, 0])
WEIGHTS = np.array([1, 1, 2, 1, 1, 1, 0], np.float32)
FEATURES = rng.normal(size=(7, 4)).astype(np.float32)
FACTORIES = [heads.centred_prototypes, heads.centred_logistic_regression]
both = pytest.mark.parametrize("factory", FACTORIES)


def logits(factory, features, queries, targets=TARGETS, weights=WEIGHTS):
    head = factory(3)
    state = head.fit(head.init(None), features, targets, weights)
    return np.asarray(head.apply(state, queries).logits)


@both
@pytest.mark.parametrize("scale", [1e-2, 1e2])
def test_neither_offset_nor_scale_of_features_changes_a_logit(factory, scale):
    queries = rng.normal(size=(5, 4)).astype(np.float32)
    offset = rng.normal(size=4).astype(np.float32)
    moved = [scale * (x + offset) for x in (FEATURES, queries)]
    np.testing.assert_allclose(
        logits(factory, *moved), logits(factory, FEATURES, queries), atol=2e-4
    )


def test_class_means_are_those_of_simpleshot():
    head = heads.centred_prototypes(3, temperature=2.0)
    state = head.fit(head.init(None), FEATURES, TARGETS, WEIGHTS)
    means = [
        np.average(FEATURES[n == TARGETS], axis=0, weights=WEIGHTS[n == TARGETS])
        for n in range(3)
    ]
    offsets = FEATURES - np.mean(means, axis=0)
    units = offsets / np.linalg.norm(offsets, axis=1, keepdims=True)
    centred_means = np.stack(
        [
            np.average(units[n == TARGETS], axis=0, weights=WEIGHTS[n == TARGETS])
            for n in range(3)
        ]
    )
    # A query with the mean length of the support units, which becomes unit length.
    length = np.sqrt(np.average((offsets**2).sum(1), weights=WEIGHTS))
    direction = np.array([0.6, 0.0, -0.8, 0.0])
    query = np.float32(np.mean(means, axis=0) + length * direction)
    distances = np.sum((direction - centred_means) ** 2, axis=1)
    found = np.asarray(head.apply(state, query[None]).logits)[0]
    expected = -2.0 * distances
    np.testing.assert_allclose(found - found[0], expected - expected[0], rtol=1e-4)


def test_logistic_regression_separates_classes_that_differ_by_little():
    """Without an intercept, features of one sign and length would be one class."""
    features = np.array([[10.0, 0.1], [10.0, 0.3]] * 2, np.float32)
    targets, weights = np.array([0, 1, 0, 1]), np.ones(4, np.float32)
    found = logits(
        heads.centred_logistic_regression, features, features, targets, weights
    )
    assert found.argmax(axis=1).tolist() == targets.tolist()
    assert np.abs(found[:, 0] - found[:, 1]).min() > 0.5


def test_the_centre_does_not_lean_towards_larger_classes():
    few, many = np.array([0, 1, 4]), np.array([0, 1, *[4] * 6])
    head = heads.centred_prototypes(3)
    kernels = [
        head.fit(head.init(None), FEATURES[r], TARGETS[r], np.ones(len(r), np.float32))[
            "kernel"
        ]
        for r in (few, many)
    ]
    # Up to the length by which queries are divided.
    first, second = (np.asarray(k) / np.linalg.norm(k) for k in kernels)
    np.testing.assert_allclose(first, second, atol=1e-6)


@both
def test_gradients_equal_float64_differences(factory):
    with jax.enable_x64(True):
        features, queries = rng.normal(size=(2, 5, 3))
        assert_gradients_equal_differences(
            factory(3), features, TARGETS[:5], WEIGHTS[:5], queries
        )


def test_one_class_alone_has_finite_logits():
    head = heads.centred_prototypes(3)
    state = head.fit(head.init(None), FEATURES[:1], TARGETS[:1], WEIGHTS[:1])
    chex.assert_tree_all_finite(state)
