"""Cross-entropy of the first and last token of an answer span."""

import chex
import jax
import jax.numpy as jnp

from metaflax.base._units import SpanCode
from metaflax.losses._weighted import nan_unless, weighted_mean, zero_padding


def span_cross_entropy(
    logits: jax.Array, codes: jax.Array, weights: jax.Array
) -> jax.Array:
    """Computes the cross-entropy of an answer's first and last token over positions.

    Each is a class among the positions of its row where an answer may begin or end; the
    loss of a row is the mean of the two, as for BERT.

    Args:
      logits: `[S, L, 2]`, of beginning and of ending at each token.
      codes: `[S, L]`, a `SpanCode` each.
      weights: `[S]`; 0 marks padding.

    Returns:
      The weighted mean over rows, in nats; NaN where a row that counts has a number
      that is no code.

    Raises:
      AssertionError: if the axes are others.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax.losses import span_cross_entropy
      >>> codes = jnp.array([[0, -1, 1, 0, 2, -1]])
      >>> loss = span_cross_entropy(jnp.zeros((1, 6, 2)), codes, jnp.ones(1))
      >>> print(f"{loss:.4f}")  # log(4)
      1.3863

    References:
      Devlin et al., `BERT: Pre-training of Deep Bidirectional Transformers for
      Language Understanding <https://arxiv.org/abs/1810.04805>`_, 2018.
    """
    chex.assert_shape(
        logits, (*codes.shape, 2), custom_message="span logits are [S, L, 2]"
    )
    chex.assert_equal_shape_prefix(
        [codes, weights], 1, custom_message="codes are [S, L], weights [S]"
    )
    logits = zero_padding(logits, weights)
    possible = codes > SpanCode.OUTSIDE
    # Finite, so that 0 * (-inf) never makes a NaN in a loss or its derivative.
    floor = jnp.asarray(jnp.finfo(logits.dtype).min / 2, logits.dtype)
    logits = jnp.where(possible[..., None], logits, floor)
    log_likely = jax.nn.log_softmax(logits, axis=1)  # Over places.
    bits = jnp.stack([codes & SpanCode.START, codes & SpanCode.END], axis=-1) > 0
    right = bits & possible[..., None]  # [S, L, 2]
    each = -jnp.sum(jnp.where(right, log_likely, 0), axis=(1, 2)) / 2
    valid = (codes >= SpanCode.OUTSIDE) & (codes <= SpanCode.BOTH)
    return weighted_mean(nan_unless(valid.all(axis=1), each), weights)
