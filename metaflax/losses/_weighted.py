"""The mean over units that count."""

import jax
import jax.numpy as jnp


def weighted_mean(values: jax.Array, weights: jax.Array) -> jax.Array:
    """The mean of `values` `[U]` under `weights` `[U]`; 0 where no unit counts.

    Examples:
      >>> print(weighted_mean(jnp.array([1.0, 3.0, 9.0]), jnp.array([1.0, 1.0, 0.0])))
      2.0
    """
    weights = weights.astype(values.dtype)
    total = jnp.sum(weights)
    return jnp.sum(values * weights) / jnp.where(total > 0, total, 1)
