"""Tests for the learned linear output layer."""

import chex
import jax
import jax.numpy as jnp
import numpy as np

from metaflax import heads

D, N = 3, 4


def test_outputs_are_a_matrix_product_plus_bias_where_classes_are_present():
    head = heads.linear(D, N)
    params = head.init(jax.random.key(0)) | {"bias": jnp.arange(4.0)}
    features = np.arange(6, dtype=np.float32).reshape(2, D)
    state = head.fit(params, features, np.array([1, 3]), np.ones(2, np.float32))
    outputs = head.apply(state, features)
    assert outputs.mask.tolist() == [False, True, False, True]
    expected = features @ np.asarray(params["kernel"]) + np.arange(4.0)
    chex.assert_trees_all_close(
        np.asarray(outputs.logits)[:, [1, 3]], expected[:, [1, 3]], rtol=1e-5
    )


def test_the_mask_follows_labels_too():
    head = heads.linear(D, N)
    labels = np.array([[0, 1, 1, 0], [0, 1, 0, 1]])
    weights = np.array([1, 0], np.float32)
    state = head.fit(head.init(jax.random.key(0)), None, labels, weights)
    assert state["mask"].tolist() == [False, True, True, False]


def test_the_kernel_begins_near_zero_and_the_bias_at_it():
    params = heads.linear(200, 100).init(jax.random.key(0))
    np.testing.assert_allclose(np.std(params["kernel"]), 0.02, rtol=0.02)
    assert np.all(np.asarray(params["bias"]) == 0)


def test_a_kernel_of_zeros_makes_all_classes_begin_alike():
    head = heads.linear(D, N, kernel_init=jax.nn.initializers.zeros)
    params = head.init(jax.random.key(0))
    chex.assert_trees_all_equal(
        params, {"kernel": jnp.zeros((D, N)), "bias": jnp.zeros(N)}
    )
