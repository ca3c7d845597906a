"""Tests for the loss on pairs."""

import jax
import jax.numpy as jnp
import numpy as np

from metaflax import losses

FEATURES = jnp.array([[1.0, 0.0], [3.0, 4.0], [0.0, 2.0], [9.0, 9.0]])
TARGETS = jnp.array([0, 0, 1, 1])


def test_pairs_of_one_class_count_as_much_as_the_others_together():
    weights = jnp.array([1.0, 1.0, 1.0, 0.0])  # The last is padding.
    loss = losses.cosine_pairs(FEATURES, TARGETS, weights)
    # Cosines: 0.6 within class 0; 0 and 0.8 across.
    within, across = (0.6 - 1) ** 2, (0**2 + 0.8**2) / 2
    np.testing.assert_allclose(loss, (within + across) / 2, rtol=1e-6)


def test_one_text_a_class_has_pairs_of_different_classes_alone():
    loss = losses.cosine_pairs(FEATURES[1:3], jnp.arange(2), jnp.ones(2))
    np.testing.assert_allclose(loss, 0.8**2 / 2, rtol=1e-6)


def test_zero_features_have_a_finite_derivative():
    grads = jax.grad(losses.cosine_pairs)(jnp.zeros((3, 2)), TARGETS[:3], jnp.ones(3))
    assert np.all(np.isfinite(grads))
