"""Tests for class-balanced heads."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaflax import config as config_lib
from metaflax import heads, tasks
from metaflax.config._factories import build_head
from tests.heads.differences import assert_gradients_equal_differences

N = 4
TARGETS = np.array([0, 0, 0, 0, 0, 1, 3, 3, 2])
WEIGHTS = np.array([1, 1, 1, 1, 1, 1, 1, 1, 0], np.float32)  # Class 2 is absent.
FEATURES = np.random.default_rng(1).normal(size=(9, 6)) + 0.5 * TARGETS[:, None]
FEATURES = FEATURES.astype(np.float32).astype(float)  # Exact in both types.


def fitted(head, targets=TARGETS, weights=WEIGHTS):
    features = jnp.asarray(FEATURES, float)
    return head.fit(head.init(jax.random.key(0)), features, targets, weights)


@pytest.mark.parametrize("strength", [1.0, 0.01])
def test_logistic_regression_is_scikit_learns_balanced_one(strength):
    linear_model = pytest.importorskip("sklearn.linear_model")
    model = linear_model.LogisticRegression(
        C=1 / strength,
        fit_intercept=False,
        class_weight="balanced",
        solver="newton-cholesky",
        tol=1e-12,
        max_iter=1000,
    )
    counts = WEIGHTS > 0
    model.fit(FEATURES[counts], TARGETS[counts])
    with jax.enable_x64(True):
        settings = config_lib.AlgorithmConfig(
            "frozen", head="logistic_regression", strength=strength
        )
        head = build_head(settings, 6, tasks.classification(), N)
        kernel = np.asarray(fitted(head)["kernel"])
        np.testing.assert_allclose(kernel[:, [0, 1, 3]], model.coef_.T, atol=1e-9)
        plain = fitted(heads.logistic_regression(N, strength=strength))["kernel"]
        assert np.max(np.abs(plain - kernel)) > 0.01


@pytest.mark.parametrize("num_features", [3, 12])  # Its primal and its dual.
@pytest.mark.parametrize("strength", [1.0, 0.01])
def test_ridge_solves_the_normal_equations_of_balanced_weights(strength, num_features):
    features = np.random.default_rng(2).normal(size=(9, num_features))
    counts = {0: 5, 1: 1, 3: 2}  # Of 8 units in 3 classes.
    factors = np.array([8 / (3 * counts.get(int(n), np.inf)) for n in TARGETS])
    weighted = factors[:, None] * features
    scale = heads.ridge(N).init(None)["scale"]
    expected = np.linalg.solve(
        features.T @ weighted + strength * np.eye(num_features),
        weighted.T @ np.eye(N)[TARGETS],
    )
    with jax.enable_x64(True):
        settings = config_lib.AlgorithmConfig("frozen", head="ridge", strength=strength)
        head = build_head(settings, num_features, tasks.classification(), N)
        params = head.init(jax.random.key(0))
        weights = WEIGHTS.astype(float)
        state = head.fit(params, jnp.asarray(features), TARGETS, weights)
        kernel = np.asarray(state["kernel"])
        np.testing.assert_allclose(kernel, scale * expected, atol=1e-9)
        plain = heads.ridge(N, strength=strength)
        unweighted = plain.fit(params, jnp.asarray(features), TARGETS, weights)
        assert np.max(np.abs(unweighted["kernel"] - kernel)) > 0.01


@pytest.mark.parametrize("name", ["ridge", "logistic_regression", "gaussian"])
def test_classes_with_as_many_units_are_counted_as_before(name):
    head = getattr(heads, name)(N)
    targets = np.array([0, 0, 0, 1, 1, 1, 3, 3, 3])
    weights = np.ones(9, np.float32)
    plain, other = (
        fitted(h, targets, weights)["kernel"] for h in (head, heads.balanced(head, N))
    )
    np.testing.assert_array_equal(plain, other)


def test_a_unit_twice_is_a_unit_of_weight_two():
    head = heads.balanced(heads.ridge(N), N)
    rows = np.array([0, 0, 1, 5, 6, 6])
    params, features = head.init(jax.random.key(0)), jnp.asarray(FEATURES, float)
    twice = head.fit(params, features[rows], TARGETS[rows], np.ones(6, np.float32))
    alone = np.array([0, 1, 5, 6])
    weighted = head.fit(
        params, features[alone], TARGETS[alone], np.array([2, 1, 1, 2], np.float32)
    )
    np.testing.assert_allclose(twice["kernel"], weighted["kernel"], atol=1e-5)


def test_gradients_equal_float64_differences():
    with jax.enable_x64(True):
        head = heads.balanced(heads.logistic_regression(N, strength=0.3), N)
        queries = jnp.asarray(FEATURES[:5] + 0.5)
        assert_gradients_equal_differences(head, FEATURES, TARGETS, WEIGHTS, queries)


def test_a_head_of_several_labels_is_refused():
    with pytest.raises(ValueError, match="one class a unit, and this one serves lab"):
        heads.balanced(heads.label_prototypes(N), N)
