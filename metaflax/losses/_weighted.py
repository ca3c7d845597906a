"""Weighted means."""

import jax
import jax.numpy as jnp


def weighted_mean(values: jax.Array, weights: jax.Array) -> jax.Array:
    """Computes the weighted mean of `values` `[U]`; 0 if all weights `[U]` are 0.

    Examples:
      >>> print(weighted_mean(jnp.array([1.0, 3.0, 9.0]), jnp.array([1.0, 1.0, 0.0])))
      2.0
    """
    weights = weights.astype(values.dtype)
    total = jnp.sum(weights)
    return jnp.sum(values * weights) / jnp.where(total > 0, total, 1)
