"""Accuracy, F1, precision and recall of one task's queries, padding masked."""

import chex
import jax
import jax.numpy as jnp

from metaflax import _checks, base
from metaflax.losses import weighted_mean


def accuracy(
    outputs: base.ClassOutputs, targets: jax.Array, weights: jax.Array
) -> jax.Array:
    """Computes the share of units whose largest logit is that of their class.

    Args:
      outputs: logits `[U, N]`, absent classes out of reach.
      targets: class numbers `[U]`.
      weights: `[U]`; 0 marks padding.

    Returns:
      A scalar between 0 and 1.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax import base
      >>> from metaflax.metrics import accuracy
      >>> logits = jnp.array([[2.0, 1.0], [0.0, 1.0]])
      >>> outputs = base.ClassOutputs(logits, jnp.ones(2, bool))
      >>> print(accuracy(outputs, jnp.array([0, 0]), jnp.ones(2)))
      0.5
    """
    _check_classes(outputs, targets, weights)
    right = jnp.argmax(outputs.logits, axis=-1) == targets
    return weighted_mean(right.astype(outputs.logits.dtype), weights)


def micro_f1(
    outputs: base.ClassOutputs, targets: jax.Array, weights: jax.Array
) -> jax.Array:
    """Computes micro-averaged F1; a label is predicted where its logit is above 0.

    Args:
      outputs: logits `[U, N]` and the mask `[N]`.
      targets: 0 or 1, `[U, N]`.
      weights: `[U]`; 0 marks padding.

    Returns:
      A scalar between 0 and 1; 0 where no label is true and none is predicted.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax import base
      >>> from metaflax.metrics import micro_f1
      >>> logits = jnp.array([[1.0, -1.0], [1.0, 1.0]])
      >>> outputs = base.ClassOutputs(logits, jnp.ones(2, bool))
      >>> print(f"{micro_f1(outputs, jnp.array([[1, 0], [0, 1]]), jnp.ones(2)):.1f}")
      0.8
    """
    _checks.check_class_outputs(outputs)
    message = "logits and targets are [U, N], weights [U]"
    chex.assert_equal_shape([outputs.logits, targets], custom_message=message)
    chex.assert_equal_shape_prefix([targets, weights], 1, custom_message=message)
    chex.assert_rank([targets, weights], [2, 1], custom_message=message)
    dtype = outputs.logits.dtype
    counts = weights.astype(dtype)[:, None] * outputs.mask.astype(dtype)[None, :]
    predicted = (outputs.logits > 0).astype(dtype)
    true = targets.astype(dtype)
    hits = jnp.sum(counts * predicted * true)
    total = jnp.sum(counts * predicted) + jnp.sum(counts * true)
    return 2 * hits / jnp.where(total > 0, total, 1)


def last_precision(
    outputs: base.ClassOutputs, targets: jax.Array, weights: jax.Array
) -> jax.Array:
    """Computes the precision of the last class.

    Args:
      outputs: logits `[U, N]`.
      targets: class numbers `[U]`.
      weights: `[U]`; 0 marks padding.

    Returns:
      A scalar between 0 and 1; 0 where no unit is predicted as it.
    """
    hits, predicted, _ = _last(outputs, targets, weights)
    return hits / jnp.where(predicted > 0, predicted, 1)


def last_recall(
    outputs: base.ClassOutputs, targets: jax.Array, weights: jax.Array
) -> jax.Array:
    """Computes the recall of the last class.

    Arguments and Returns as for `last_precision`; 0 where there is no such unit.
    """
    hits, _, true = _last(outputs, targets, weights)
    return hits / jnp.where(true > 0, true, 1)


def _check_classes(outputs, targets, weights) -> None:
    """Raises an error unless logits are `[U, N]`, targets and weights `[U]`."""
    _checks.check_class_outputs(outputs)
    message = "logits are [U, N], targets and weights [U]"
    each = [outputs.logits, targets, weights]
    chex.assert_rank(each, [2, 1, 1], custom_message=message)
    chex.assert_equal_shape_prefix(each, 1, custom_message=message)


def _last(outputs, targets, weights) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Weighted counts of the last class: true positives, predicted and true units."""
    _check_classes(outputs, targets, weights)
    last = outputs.logits.shape[-1] - 1
    weights = weights.astype(outputs.logits.dtype)
    predicted = jnp.argmax(outputs.logits, axis=-1) == last
    true = targets == last
    return jnp.sum(weights * (predicted & true)), weights @ predicted, weights @ true
