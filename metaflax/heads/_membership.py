"""Class membership of units for each form of targets."""

import jax
import jax.numpy as jnp


def membership(targets: jax.Array, weights: jax.Array, num_classes: int) -> jax.Array:
    """Computes the weight of each unit for each class, `[U, N]`.

    Args:
      targets: class numbers `[U]`, or 0 and 1 for each label `[U, N]`.
      weights: `[U]`; 0 marks padding.
      num_classes: N.

    Returns:
      `weights` where the unit has the class, 0 elsewhere.

    Raises:
      ValueError: if multi-label targets have another number of classes.
    """
    if targets.ndim == 2:
        targets = counted(targets, weights)
    if targets.ndim == 1:
        targets = jax.nn.one_hot(targets, num_classes, dtype=weights.dtype)
    if targets.shape[-1] != num_classes:
        raise ValueError(
            f"the head has {num_classes} classes, targets have {targets.shape[-1]}."
        )
    return targets.astype(weights.dtype) * weights[:, None]


def counted(values: jax.Array, weights: jax.Array) -> jax.Array:
    """Replaces rows of `values` `[U, ...]` whose weight `[U]` is 0 by zeros.

    A product with 0 would leave a NaN in place.
    """
    return jnp.where((weights != 0).reshape(-1, *[1] * (values.ndim - 1)), values, 0)


def class_mean(features: jax.Array, members: jax.Array) -> jax.Array:
    """Computes the mean feature of each class, `[N, D]`; 0 for empty classes."""
    counts = jnp.sum(members, axis=0)  # [N]
    sums = members.astype(features.dtype).T @ features  # [N, D]
    return sums / jnp.where(counts > 0, counts, 1).astype(features.dtype)[:, None]
