"""Tests for logistic regression: the minimiser, and derivatives through it."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from metaflax import heads
from tests.heads.differences import assert_gradients_equal_differences

U, N = 8, 4
TARGETS = np.array([0, 1, 3, 0, 1, 3, 1, 2])
WEIGHTS = np.array([1, 1, 2, 1, 1, 1, 1, 0], np.float32)  # Class 2 is absent.


def support(num_features, scale=1.0):
    rng = np.random.default_rng(num_features)
    centres = rng.normal(size=(N, num_features))
    features = centres[TARGETS] + rng.normal(size=(U, num_features))
    return np.float32(scale * features)


def fitted(features, **kwargs):
    head = heads.logistic_regression(N, **kwargs)
    params = head.init(jax.random.key(0))
    return jax.jit(head.fit)(params, features, TARGETS, WEIGHTS)


@pytest.mark.parametrize("num_features", [2, 20])
@pytest.mark.parametrize(("scale", "strength"), [(1, 1.0), (1, 1e-3), (10, 0.1)])
def test_the_kernel_is_scikit_learns(num_features, scale, strength):
    linear_model = pytest.importorskip("sklearn.linear_model")
    features = support(num_features, scale)
    model = linear_model.LogisticRegression(
        C=1 / strength, fit_intercept=False, tol=1e-10, max_iter=10_000
    )
    counts = WEIGHTS > 0
    model.set_params(solver="newton-cg")
    model.fit(features[counts].astype(float), TARGETS[counts], WEIGHTS[counts])
    kernel = np.asarray(fitted(features, strength=strength)["kernel"])
    expected = np.float32(model.coef_.T)
    atol = 1e-4 * np.abs(expected).max()
    np.testing.assert_allclose(kernel[:, [0, 1, 3]], expected, rtol=1e-4, atol=atol)
    assert np.all(kernel[:, 2] == 0)


def test_the_slope_is_zero_in_double_precision():
    with jax.enable_x64(True):
        x = support(5).astype(float)
        state = fitted(x, strength=0.1)
        assert state["mask"].tolist() == [True, True, False, True]
        present = np.array([0, 1, 3])
        kernel = np.asarray(state["kernel"])[:, present]
        excess = np.asarray(jax.nn.softmax(x @ kernel)) - np.eye(N)[TARGETS][:, present]
        slope = x.T @ (WEIGHTS[:, None] * excess) + 0.1 * kernel
        np.testing.assert_allclose(slope, 0, atol=1e-11)


@pytest.mark.parametrize("num_features", [2, 12])
def test_gradients_equal_float64_differences(num_features):
    with jax.enable_x64(True):
        features = support(num_features).astype(float)
        head = heads.logistic_regression(N, strength=0.3)
        queries = features[:5] + 0.5
        assert_gradients_equal_differences(head, features, TARGETS, WEIGHTS, queries)


def test_second_derivatives_are_exact_in_forward_and_reverse_mode():
    with jax.enable_x64(True):
        head = heads.logistic_regression(N)

        def value(features, log_strength):
            params = {"log_strength": log_strength}
            kernel = head.fit(params, features, TARGETS, WEIGHTS)["kernel"]
            return jnp.sum(jnp.sin(kernel))

        args = (support(2).astype(float), jnp.asarray(-0.5))
        gradient = jax.jit(jax.grad(value, (0, 1)))
        check_grads(gradient, args, order=1, rtol=1e-5, atol=1e-7)


def test_gradients_under_vmap_equal_a_loop():
    head = heads.logistic_regression(N)
    params = head.init(jax.random.key(0))

    def value(features):
        return jnp.sum(head.fit(params, features, TARGETS, WEIGHTS)["kernel"] ** 2)

    features = np.stack([support(3), 5 * support(3), 0 * support(3)])
    gradient = jax.jit(jax.grad(value))
    each = np.stack([gradient(x) for x in features])
    chex.assert_trees_all_close(
        jax.vmap(gradient)(features), jnp.asarray(each), rtol=1e-3, atol=1e-5
    )


def test_a_task_of_one_class_asks_for_nothing():
    head = heads.logistic_regression(N)
    state = head.fit(
        head.init(jax.random.key(0)), support(3), np.zeros(U, int), WEIGHTS
    )
    assert np.all(np.asarray(state["kernel"]) == 0)


def test_the_strength_is_learned_on_a_log_scale():
    params = heads.logistic_regression(N, strength=3.0).init(jax.random.key(0))
    chex.assert_trees_all_close(params, {"log_strength": jnp.log(3.0)})


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"strength": -1.0}, "strength is above 0, got -1.0"),
        ({"max_steps": 0}, "max_steps is 1 or more, got 0"),
    ],
)
def test_settings_without_meaning_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        heads.logistic_regression(N, **kwargs)
