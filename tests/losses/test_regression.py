"""Tests for losses of numbers."""

import jax
import numpy as np

from metaflax import losses


def test_the_squared_error_is_a_weighted_mean_without_padding():
    outputs, targets = np.array([1.0, 3.0, 9.0]), np.array([0.0, 1.0, np.pi])
    weights = np.array([1.0, 3.0, 0.0])
    loss = losses.squared_error(outputs, targets, weights)
    np.testing.assert_allclose(loss, (1 * 1 + 3 * 4) / 4, rtol=1e-6)
    assert losses.squared_error(outputs, targets, 0 * weights) == 0


def test_its_derivative_is_twice_the_distance():
    outputs, targets, ones = np.array([1.0, 4.0]), np.array([3.0, 3.0]), np.ones(2)
    grad = jax.grad(losses.squared_error)(outputs, targets, ones)
    np.testing.assert_allclose(grad, [-2.0, 1.0], rtol=1e-6)
