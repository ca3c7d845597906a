"""Tests for root mean square normalisation and its derivatives."""

import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np

from metaflax.models.layers import _norms


def plain(x, eps):
    return x / jnp.sqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + eps)


def test_values_and_derivatives_of_both_orders_are_those_of_the_definition():
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        x, weights = (jnp.asarray(rng.normal(size=(3, 5))) for _ in range(2))

        def loss(normalize, x):
            return jnp.sum(weights * jnp.sin(normalize(x, 1e-2)))

        def bent(normalize, x):
            return jnp.sum(jax.grad(loss, argnums=1)(normalize, x) ** 2)

        for fn in (loss, jax.grad(loss, argnums=1), jax.grad(bent, argnums=1)):
            np.testing.assert_allclose(
                fn(_norms.rms_normalize, x), fn(plain, x), rtol=1e-10, atol=1e-12
            )


def test_scales_multiply_and_zero_stays_zero():
    norm = _norms.RMSNorm(1e-6)
    x = jnp.asarray([[3.0, -4.0], [0.0, 0.0]])
    params = {"params": {"scale": jnp.asarray([1.0, 2.0])}}
    root = np.sqrt(12.5)
    np.testing.assert_allclose(
        norm.apply(params, x), [[3 / root, -8 / root], [0, 0]], rtol=1e-5
    )
