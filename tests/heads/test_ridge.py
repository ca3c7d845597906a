"""Tests for ridge regression on classes."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaflax import heads
from tests.heads.differences import assert_gradients_equal_differences

rng = np.random.default_rng(0)
TARGETS = np.array([0, 1, 1, 0, 2])
WEIGHTS = np.array([1, 1, 2, 1, 0], np.float32)


def fitted(features, **kwargs):
    head = heads.ridge(3, **kwargs)
    return head.fit(head.init(jax.random.key(0)), features, TARGETS, WEIGHTS)


@pytest.mark.parametrize("num_features", [2, 8])
def test_the_kernel_is_scikit_learns_ridge_times_the_scale(num_features):
    linear_model = pytest.importorskip("sklearn.linear_model")
    features = rng.normal(size=(5, num_features)).astype(np.float32)
    model = linear_model.Ridge(alpha=0.5, fit_intercept=False)
    model.fit(features.astype(float), np.eye(3)[TARGETS], sample_weight=WEIGHTS)
    state = fitted(features, strength=0.5, scale=4.0)
    chex.assert_trees_all_close(
        state["kernel"], np.float32(4 * model.coef_.T), rtol=1e-4, atol=1e-5
    )
    assert state["mask"].tolist() == [True, True, False]


def test_scale_and_bias_are_learned_and_shared_by_classes():
    head = heads.ridge(3, strength=2.0, scale=3.0)
    params = head.init(jax.random.key(0))
    chex.assert_trees_all_close(
        params,
        {"log_strength": jnp.log(2.0), "scale": jnp.array(3.0), "bias": jnp.zeros(())},
    )
    params["bias"] = jnp.array(0.25)
    state = head.fit(params, np.ones((5, 2), np.float32), TARGETS, WEIGHTS)
    chex.assert_trees_all_equal(state["bias"], jnp.full(3, 0.25))


@pytest.mark.parametrize("num_features", [2, 8])
def test_gradients_equal_float64_differences(num_features):
    with jax.enable_x64(True):
        features, queries = rng.normal(size=(2, 5, num_features))
        head = heads.ridge(3, strength=0.5, scale=2.0)
        assert_gradients_equal_differences(head, features, TARGETS, WEIGHTS, queries)


def test_a_strength_that_is_not_above_zero_is_refused():
    with pytest.raises(ValueError, match="strength is above 0, got 0"):
        heads.ridge(3, strength=0)
