"""Regression losses."""

import chex
import jax
import jax.numpy as jnp

from metaflax.losses._weighted import weighted_mean, zero_padding


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

    Raises:
      AssertionError: if any of them is not `[U]`; nothing is broadcast.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax.losses import squared_error
      >>> print(squared_error(jnp.array([1.0, 5.0]), jnp.zeros(2), jnp.array([1, 0])))
      1.0
    """
    message = "outputs, targets and weights are [U]"
    chex.assert_equal_shape([outputs, targets, weights], custom_message=message)
    chex.assert_rank(outputs, 1, custom_message=message)
    errors = outputs - targets.astype(outputs.dtype)
    return weighted_mean(jnp.square(zero_padding(errors, weights)), weights)
