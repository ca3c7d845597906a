"""Contrastive losses on pairs of examples."""

import chex
import jax
import jax.numpy as jnp

from metaflax import linalg
from metaflax.losses._weighted import zero_padding


def cosine_pairs(
    features: jax.Array, targets: jax.Array, weights: jax.Array
) -> jax.Array:
    r"""Computes squared errors of cosines, target 1 within and 0 across classes.

    All pairs of two different units count, those of one class together as much as
    the others together.

    Args:
      features: `[U, D]`.
      targets: class numbers `[U]`.
      weights: `[U]`; 0 marks padding.

    Returns:
      The mean over the two kinds of pairs of their weighted mean error.

    Raises:
      AssertionError: if the axes are others.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax.losses import cosine_pairs
      >>> features = jnp.array([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
      >>> print(cosine_pairs(features, jnp.array([0, 0, 1]), jnp.ones(3)))
      0.0

    References:
      Tunstall et al., `Efficient Few-Shot Learning Without Prompts
      <https://arxiv.org/abs/2209.11055>`_, 2022.
    """
    message = "features are [U, D], targets and weights [U]"
    chex.assert_rank([features, targets, weights], [2, 1, 1], custom_message=message)
    chex.assert_equal_shape_prefix(
        [features, targets, weights], 1, custom_message=message
    )
    features = zero_padding(features, weights)
    unit = linalg.unit(features).astype(features.dtype)  # [U, D]
    alike = (targets[:, None] == targets[None, :]).astype(features.dtype)  # [U, U]
    errors = (unit @ unit.T - alike) ** 2
    weights = weights.astype(features.dtype)
    pairs = weights[:, None] * weights[None, :] * (1 - jnp.eye(len(weights)))
    pairs = pairs.astype(features.dtype)

    def mean_over(kind):
        total = jnp.sum(kind)
        return jnp.sum(errors * kind) / jnp.where(total > 0, total, 1)

    return (mean_over(pairs * alike) + mean_over(pairs * (1 - alike))) / 2
