"""Tests for Gaussian classes with one shrunken covariance."""

import chex
import jax
import numpy as np
import pytest

from metaflax import heads
from tests.heads.differences import assert_gradients_equal_differences

rng = np.random.default_rng(0)
TARGETS = np.array([0, 1, 1, 0, 2, 2, 0, 1, 2])
WEIGHTS = np.ones(9, np.float32)


def fitted(features, targets=TARGETS, weights=WEIGHTS, **kwargs):
    head = heads.gaussian(3, **kwargs)
    return head.fit(head.init(None), features, targets, weights)


def prototypes(features, targets, weights):
    head = heads.prototypes(3)
    return head.fit(head.init(None), features, targets, weights)


@pytest.mark.parametrize("num_features", [4, 30])
@pytest.mark.parametrize("shrinkage", [0.25, 0.75])
def test_it_decides_as_scikit_learns_shrunken_discriminant(num_features, shrinkage):
    analysis = pytest.importorskip("sklearn.discriminant_analysis")
    features = rng.normal(size=(9, num_features)).astype(np.float32)
    state = fitted(features, strength=shrinkage / (1 - shrinkage))
    model = analysis.LinearDiscriminantAnalysis("lsqr", shrinkage=shrinkage)
    model.fit(features.astype(float), TARGETS)
    # Scikit-learn's are divided by the variance that the covariance is shrunk to.
    means = np.stack([features[n == TARGETS].mean(0) for n in range(3)])
    variance = np.mean((features - means[TARGETS]) ** 2)
    expected = 2 * shrinkage * variance * model.coef_.T
    np.testing.assert_allclose(state["kernel"], expected, rtol=1e-3, atol=1e-3)
    # Its intercept has the prior of each class, which is uniform here.
    offsets = model.intercept_ - np.log(1 / 3)
    offsets = 2 * shrinkage * variance * offsets
    np.testing.assert_allclose(state["bias"], offsets, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_of_one_unit_a_class_it_is_prototypes(scale):
    features = (scale * rng.normal(size=(3, 5))).astype(np.float32)
    weights = np.array([1.0, 0.3, 0.7], np.float32)  # Means are rounded.
    targets = np.array([2, 0, 1])
    chex.assert_trees_all_close(
        fitted(features, targets, weights),
        prototypes(features, targets, weights),
        rtol=1e-5,
    )


def test_with_growing_strength_it_becomes_prototypes():
    features = rng.normal(size=(9, 5)).astype(np.float32)
    expected = prototypes(features, TARGETS, WEIGHTS)
    near, far = (fitted(features, strength=strength) for strength in (1e5, 1.0))
    chex.assert_trees_all_close(near, expected, atol=1e-3)
    assert np.abs(far["kernel"] - expected["kernel"]).max() > 0.1


def test_the_scale_of_features_changes_no_decision():
    features = rng.normal(size=(9, 5)).astype(np.float32)
    small, large = (fitted(scale * features) for scale in (1.0, 8.0))
    np.testing.assert_allclose(8 * small["kernel"], large["kernel"], rtol=1e-4)
    np.testing.assert_allclose(64 * small["bias"], large["bias"], rtol=1e-4)


@pytest.mark.parametrize("num_features", [2, 12])
def test_gradients_equal_float64_differences(num_features):
    with jax.enable_x64(True):
        features, queries = rng.normal(size=(2, 6, num_features))
        weights = np.array([1, 1, 2, 1, 0, 1], np.float32)
        head = heads.gaussian(3, strength=0.5, temperature=2.0)
        assert_gradients_equal_differences(
            head, features, TARGETS[:6], weights, queries
        )


@pytest.mark.parametrize("name", ["strength", "temperature"])
def test_numbers_that_are_not_above_zero_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} is above 0, got 0"):
        heads.gaussian(3, **{name: 0})
