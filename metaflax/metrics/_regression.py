"""Pearson's and Spearman's correlation of one task's queries, padding masked."""

import chex
import jax
import jax.numpy as jnp


def pearson(outputs: jax.Array, targets: jax.Array, weights: jax.Array) -> jax.Array:
    r"""Pearson's correlation, :math:`\sum d_u e_u / \sqrt{\sum d_u^2 \sum e_u^2}`.

    Args:
      outputs: `[U]`.
      targets: `[U]`.
      weights: `[U]`; 0 marks padding, other weights count as they are.

    Returns:
      A scalar from -1 to 1; 0 where the correlation is not defined, since either side
      is constant.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax.metrics import pearson
      >>> print(pearson(jnp.array([1.0, 2.0, 9.0]), jnp.array([2.0, 4.0, 0.0]),
      ...               jnp.array([1.0, 1.0, 0.0])))
      1.0
    """
    _check_numbers(outputs, targets, weights)
    x, y = _deviations(outputs, weights), _deviations(targets, weights)
    w = weights.astype(x.dtype)
    product = jnp.sqrt(jnp.sum(w * x * x)) * jnp.sqrt(jnp.sum(w * y * y))
    defined = product > 0
    correlation = jnp.sum(w * x * y) / jnp.where(defined, product, 1)
    return jnp.where(defined, jnp.clip(correlation, -1, 1), 0)


def spearman(outputs: jax.Array, targets: jax.Array, weights: jax.Array) -> jax.Array:
    """Computes Spearman's correlation: Pearson's of the ranks, ties averaged.

    Args:
      outputs: `[U]`.
      targets: `[U]`.
      weights: `[U]`; 0 marks padding, anything above counts as 1.

    Returns:
      A scalar from -1 to 1; 0 where either side is constant.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax.metrics import spearman
      >>> print(spearman(jnp.array([1.0, 2.0, 9.0]), jnp.array([10.0, 20.0, 30.0]),
      ...                jnp.ones(3)))
      1.0
    """
    _check_numbers(outputs, targets, weights)
    counts = weights > 0
    return pearson(_ranks(outputs, counts), _ranks(targets, counts), counts)


def _check_numbers(*each: jax.Array) -> None:
    message = "outputs, targets and weights are [U]"
    chex.assert_equal_shape(each, custom_message=message)
    chex.assert_rank(each, 1, custom_message=message)


def _deviations(x: jax.Array, weights: jax.Array) -> jax.Array:
    """Computes deviations from the mean, in units of the range.

    These units keep squares of tiny and of huge numbers within range. Differences from
    the largest number are exact where all are close, so that equal numbers give zeros
    and never a rounding error.
    """
    x = jnp.asarray(x, jnp.promote_types(jnp.result_type(x), jnp.float32))
    w = weights.astype(x.dtype)
    below = jnp.where(w > 0, x - jnp.max(x, where=w > 0, initial=-jnp.inf), 0)
    span = jnp.max(-below, initial=0)
    below = below / jnp.where(span > 0, span, 1)
    total = jnp.sum(w)
    mean = jnp.sum(w * below) / jnp.where(total > 0, total, 1)
    return jnp.where(w > 0, below - mean, 0)


def _ranks(x: jax.Array, counts: jax.Array) -> jax.Array:
    """Computes the mean rank of each number among those that count, from 1."""
    among = counts[None, :].astype(jnp.float32)
    below = jnp.sum(among * (x[None, :] < x[:, None]), axis=1)
    equal = jnp.sum(among * (x[None, :] == x[:, None]), axis=1)
    return below + (equal + 1) / 2
