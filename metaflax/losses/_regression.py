"""Regression losses."""

import jax
import jax.numpy as jnp

from metaflax.losses._weighted import weighted_mean


def squared_error(
    outputs: jax.Array, targets: jax.Array, weights: jax.Array
) -> jax.Array:
    """Computes the mean squared error.

    Args:
      outputs: `[U]`.
      targets: `[U]`.
      weights: `[U]`; 0 marks padding.

    Returns:
      A scalar.

    Examples:
      >>> print(squared_error(jnp.array([1.0, 5.0]), jnp.zeros(2), jnp.array([1, 0])))
      1.0
    """
    return weighted_mean(jnp.square(outputs - targets.astype(outputs.dtype)), weights)
