"""Token cross-entropy of language models."""

import chex
import jax
import jax.numpy as jnp

from metaflax.base._units import token_units
from metaflax.losses._weighted import nan_unless, weighted_mean, zero_padding


def language_cross_entropy(
    logits: jax.Array,
    targets: jax.Array,
    weights: jax.Array,
    *,
    label_smoothing: float = 0.0,
) -> jax.Array:
    """Computes the cross-entropy of target tokens; other tokens do not count.

    Args:
      logits: `[S, L, V]`, at each token those of the next one.
      targets: `[S, L]`, ids of the next tokens; a negative number where there is no
        target: in the prompt, and at padding.
      weights: weights of texts `[S]`; each token has the weight of its text.
      label_smoothing: the share of a target spread evenly over the vocabulary.

    Returns:
      The weighted mean over tokens, in nats, so that long texts count more; NaN, as
      is its derivative, where a target that counts is no id below V.

    Raises:
      AssertionError: if the axes are others.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax.losses import language_cross_entropy
      >>> targets = jnp.array([[-1, 2, 0, -1]])
      >>> loss = language_cross_entropy(jnp.zeros((1, 4, 8)), targets, jnp.ones(1))
      >>> print(f"{loss:.4f}")  # log(8)
      2.0794

    References:
      Szegedy et al., `Rethinking the Inception Architecture for Computer Vision
      <https://arxiv.org/abs/1512.00567>`_, 2016, label smoothing.
    """
    chex.assert_equal_shape_prefix(
        [logits, targets], 2, custom_message="logits are [S, L, V], targets [S, L]"
    )
    chex.assert_rank(logits, 3, custom_message="logits are [S, L, V]")
    words, counts = token_units(targets, weights)
    logits = zero_padding(logits.reshape(-1, logits.shape[-1]), counts)  # [S * L, V]
    # By a sum and a look-up: a distribution over V words a token would cost more.
    total = jax.nn.logsumexp(logits, axis=-1)
    right = jnp.take_along_axis(logits, words[:, None], axis=-1, mode="clip")[:, 0]
    each = total - right
    if label_smoothing:
        spread = total - jnp.mean(logits, axis=-1)
        each = (1 - label_smoothing) * each + label_smoothing * spread
    return weighted_mean(nan_unless(words < logits.shape[-1], each), counts)


def text_likelihoods(logits: jax.Array, targets: jax.Array) -> jax.Array:
    """Computes the mean log-probability of each text's target tokens.

    Args:
      logits: `[S, L, V]`, at each token those of the next one.
      targets: `[S, L]`, ids of the next tokens; -1 where there is no target.

    Returns:
      `[S]`, in nats; 0 for a text without target tokens.

    Examples:
      >>> targets = jnp.array([[-1, 2, 0], [1, -1, -1]])
      >>> print(text_likelihoods(jnp.zeros((2, 3, 8)), targets).round(3))
      [-2.079 -2.079]
    """
    has_target = targets >= 0
    words = jnp.where(has_target, targets, 0)
    right = jnp.take_along_axis(logits, words[..., None], axis=-1)[..., 0]
    each = jnp.where(has_target, right - jax.nn.logsumexp(logits, axis=-1), 0)
    return jnp.sum(each, axis=1) / jnp.maximum(jnp.sum(has_target, axis=1), 1)
