"""Weighted means, and the treatment of units that do not count."""

import chex
import jax
import jax.numpy as jnp

from metaflax import base


def weighted_mean(values: jax.Array, weights: jax.Array) -> jax.Array:
    """Computes a weighted mean; 0 if all weights are 0.

    A value of weight 0 has no effect, whatever it is.

    Args:
      values: `[U]`.
      weights: `[U]`, not negative.

    Returns:
      A scalar.

    Raises:
      AssertionError: if either is not `[U]`; nothing is broadcast.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax.losses import weighted_mean
      >>> print(weighted_mean(jnp.array([1.0, 3.0, 9.0]), jnp.array([1.0, 1.0, 0.0])))
      2.0
    """
    chex.assert_equal_shape(
        [values, weights], custom_message="values and weights are [U]"
    )
    chex.assert_rank(values, 1, custom_message="values and weights are [U]")
    weights = weights.astype(values.dtype)
    total = jnp.sum(weights)
    values = zero_padding(values, weights)
    return jnp.sum(values * weights) / jnp.where(total > 0, total, 1)


def zero_padding(values: base.Array, weights: base.Array) -> jax.Array:
    """Replaces rows of `values` `[U, ...]` whose weight `[U]` is 0 by zeros.

    Multiplied by a weight of 0, a NaN would remain, in a sum and in its derivative.
    """
    counts = (weights != 0).reshape(-1, *[1] * (values.ndim - 1))
    return jnp.where(counts, values, 0)


def nan_unless(valid: jax.Array, values: jax.Array) -> jax.Array:
    """Makes values `[U]` and their derivative NaN where `valid` `[U]` is false."""
    return values * jnp.where(valid, 1, jnp.nan).astype(values.dtype)
