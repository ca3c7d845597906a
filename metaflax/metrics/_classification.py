"""Scores of one task's queries, padding left out."""

import jax
import jax.numpy as jnp

from metaflax import base
from metaflax.losses import weighted_mean


def accuracy(
    outputs: base.ClassOutputs, targets: jax.Array, weights: jax.Array
) -> jax.Array:
    """The share of units whose largest logit is their class.

    Args:
      outputs: logits `[U, N]`, absent classes out of reach.
      targets: class numbers `[U]`.
      weights: `[U]`; 0 marks padding.

    Returns:
      A scalar between 0 and 1.

    Examples:
      >>> logits = jnp.array([[2.0, 1.0], [0.0, 1.0]])
      >>> outputs = base.ClassOutputs(logits, jnp.ones(2, bool))
      >>> print(accuracy(outputs, jnp.array([0, 0]), jnp.ones(2)))
      0.5
    """
    right = jnp.argmax(outputs.logits, axis=-1) == targets
    return weighted_mean(right.astype(outputs.logits.dtype), weights)


def micro_f1(
    outputs: base.ClassOutputs, targets: jax.Array, weights: jax.Array
) -> jax.Array:
    """F1 over all present labels of all units, a label said where its logit is > 0.

    Args:
      outputs: logits `[U, N]` and the mask `[N]`.
      targets: 0 or 1, `[U, N]`.
      weights: `[U]`; 0 marks padding.

    Returns:
      A scalar between 0 and 1; 0 where nothing is true and nothing is said.
    """
    dtype = outputs.logits.dtype
    counts = weights.astype(dtype)[:, None] * outputs.mask.astype(dtype)[None, :]
    said = (outputs.logits > 0).astype(dtype)
    true = targets.astype(dtype)
    hits = jnp.sum(counts * said * true)
    total = jnp.sum(counts * said) + jnp.sum(counts * true)
    return 2 * hits / jnp.where(total > 0, total, 1)


def last_precision(
    outputs: base.ClassOutputs, targets: jax.Array, weights: jax.Array
) -> jax.Array:
    """Of the units said to be of the last class, the share that is.

    Args:
      outputs: logits `[U, N]`.
      targets: class numbers `[U]`.
      weights: `[U]`; 0 marks padding.

    Returns:
      A scalar between 0 and 1; 0 where no unit is said to be.
    """
    hits, said, _ = _last(outputs, targets, weights)
    return hits / jnp.where(said > 0, said, 1)


def last_recall(
    outputs: base.ClassOutputs, targets: jax.Array, weights: jax.Array
) -> jax.Array:
    """Of the units of the last class, the share that is said to be.

    Arguments and Returns as for `last_precision`; 0 where there is no such unit.
    """
    hits, _, true = _last(outputs, targets, weights)
    return hits / jnp.where(true > 0, true, 1)


def _last(outputs, targets, weights) -> tuple[jax.Array, jax.Array, jax.Array]:
    """How many units of the last class are found, are said to be, and are."""
    last = outputs.logits.shape[-1] - 1
    weights = weights.astype(outputs.logits.dtype)
    said = jnp.argmax(outputs.logits, axis=-1) == last
    true = targets == last
    return jnp.sum(weights * (said & true)), weights @ said, weights @ true
