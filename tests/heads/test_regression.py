"""Tests for regression heads."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import linear_model

from metaflax import heads, losses

rng = np.random.default_rng(0)
FEATURES = rng.normal(size=(9, 4)).astype(np.float32)
TARGETS = rng.normal(size=9).astype(np.float32) + 3
ONES = np.ones(9, np.float32)


@functools.cache
def fit_of(strength):
    return jax.jit(heads.ridge_regression(strength=strength).fit)


def fitted(strength=0.7, features=FEATURES, targets=TARGETS, weights=ONES):
    head = heads.ridge_regression(strength=strength)
    params = head.init(jax.random.key(0))
    return head, fit_of(strength)(params, features, targets, weights)


@pytest.mark.parametrize("count", [3, 9])  # Fewer and more units than features.
@pytest.mark.parametrize("strength", [1e-3, 0.7, 1e4])
def test_scikit_learn_fits_the_same_layer(count, strength):
    weights = np.where(np.arange(9) < count, ONES, 0)
    head, state = fitted(strength, weights=weights)
    oracle = linear_model.Ridge(alpha=strength).fit(FEATURES[:count], TARGETS[:count])
    expected = oracle.predict(FEATURES)
    np.testing.assert_allclose(head.apply(state, FEATURES), expected, rtol=2e-3)


def test_what_has_no_weight_changes_nothing_whatever_it_holds():
    weights = np.where(np.arange(9) < 6, ONES, 0)
    filled = np.where(weights[:, None] > 0, FEATURES, 50).astype(np.float32)
    _, expected = fitted(weights=weights)
    _, state = fitted(features=filled, weights=weights)
    chex.assert_trees_all_close(state, expected, rtol=1e-4, atol=1e-5)


def test_a_constant_added_to_the_targets_is_added_to_the_answers():
    head, state = fitted()
    _, shifted = fitted(targets=TARGETS + 10)
    moved = head.apply(shifted, FEATURES) - head.apply(state, FEATURES)
    np.testing.assert_allclose(moved, 10, rtol=1e-5)


def test_no_support_at_all_says_zero_with_finite_derivatives():
    def loss(features):
        head, state = fitted(features=features, weights=0 * ONES)
        return losses.squared_error(head.apply(state, FEATURES), TARGETS, ONES)

    value, grad = jax.jit(jax.value_and_grad(loss))(jnp.asarray(FEATURES))
    np.testing.assert_allclose(value, np.mean(TARGETS**2), rtol=1e-6)
    chex.assert_tree_all_finite(grad)


def test_the_gradient_through_the_fit_is_that_of_differences():
    def loss(log_strength, features):
        head = heads.ridge_regression()
        state = head.fit(
            {"log_strength": log_strength}, features[:6], TARGETS[:6], ONES[:6]
        )
        return losses.squared_error(head.apply(state, features), TARGETS, ONES)

    with jax.enable_x64(True):
        arguments = (jnp.asarray(0.3), jnp.asarray(FEATURES, float))
        jax.test_util.check_grads(jax.jit(loss), arguments, order=1, modes=["rev"])


def test_a_linear_layer_begins_where_the_outer_loop_put_it():
    head = heads.linear_regression(4)
    params = {"kernel": jnp.ones((4, 1)), "bias": jnp.ones(1)}
    state = head.fit(params, FEATURES, TARGETS, ONES)
    np.testing.assert_allclose(
        head.apply(state, FEATURES), FEATURES.sum(1) + 1, rtol=1e-5
    )


@pytest.mark.parametrize(
    "head", [heads.linear_regression(4), heads.ridge_regression(num_features=4)]
)
def test_the_template_is_what_fit_gives_in_shapes_and_types(head):
    params = head.init(jax.random.key(0))
    state = jax.eval_shape(head.fit, params, FEATURES, TARGETS, ONES)
    chex.assert_trees_all_equal_shapes_and_dtypes(head.template(params), state)
    assert heads.ridge_regression().template is None


def test_both_serve_numbers_only():
    assert heads.linear_regression(4).serves == {"numbers"}
    assert heads.ridge_regression().serves == {"numbers"}
    with pytest.raises(ValueError, match="strength is above 0, got 0"):
        heads.ridge_regression(strength=0)
