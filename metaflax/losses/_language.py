"""The loss of what a language model says, token by token."""

import chex
import jax
import jax.numpy as jnp

from metaflax import base
from metaflax.losses._weighted import weighted_mean


def language_cross_entropy(
    logits: jax.Array,
    targets: jax.Array,
    weights: jax.Array,
    *,
    label_smoothing: float = 0.0,
) -> jax.Array:
    """The cross entropy of the tokens that are to be said, and of no others.

    Args:
      logits: `[S, L, V]`, at each token those of the next one.
      targets: `[S, L]`, which word comes next; -1 where nothing is asked: in what was
        read, and at padding.
      weights: of texts `[S]`; each of its tokens counts as much as the text.
      label_smoothing: the share of a target spread evenly over all words.

    Returns:
      The weighted mean over tokens, in nats, so that long texts count more.

    Raises:
      AssertionError: if the axes are others.

    Examples:
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
    words, counts = base.token_units(targets, weights)
    logits = logits.reshape(-1, logits.shape[-1])  # [S * L, V]
    # By a sum and a look-up: a distribution over V words a token would cost more.
    total = jax.nn.logsumexp(logits, axis=-1)
    right = jnp.take_along_axis(logits, words[:, None], axis=-1)[:, 0]
    each = total - right
    if label_smoothing:
        spread = total - jnp.mean(logits, axis=-1)
        each = (1 - label_smoothing) * each + label_smoothing * spread
    return weighted_mean(each, counts)


def text_likelihoods(logits: jax.Array, targets: jax.Array) -> jax.Array:
    """The mean log-probability of the tokens of each text that are to be said.

    Args:
      logits: `[S, L, V]`, at each token those of the next one.
      targets: `[S, L]`, which word comes next; -1 where nothing is asked.

    Returns:
      `[S]`, in nats; 0 for a text of which nothing is asked.

    Examples:
      >>> targets = jnp.array([[-1, 2, 0], [1, -1, -1]])
      >>> print(text_likelihoods(jnp.zeros((2, 3, 8)), targets).round(3))
      [-2.079 -2.079]
    """
    asked = targets >= 0
    words = jnp.where(asked, targets, 0)
    right = jnp.take_along_axis(logits, words[..., None], axis=-1)[..., 0]
    each = jnp.where(asked, right - jax.nn.logsumexp(logits, axis=-1), 0)
    return jnp.sum(each, axis=1) / jnp.maximum(jnp.sum(asked, axis=1), 1)
