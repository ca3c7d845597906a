"""Encoder of texts with two marked entities, and of the entities' names."""

import jax
import jax.numpy as jnp

from metaflax import linalg
from metaflax.models.layers._parts import apart, of_parts
from metaflax.models.layers._pooling import Encoder
from metaflax.models.layers._tokens import Tokens

# Sequences of a row: the text, the name of the head, the name of the tail.
NUM_SEQUENCES = 3
# Means over the text (see `_masks`), and one over each name.
NUM_MEANS = 6
NUM_BLOCKS = NUM_MEANS + NUM_SEQUENCES - 1


def entities_in_text(encoder: Encoder) -> Encoder:
    """Encodes two entities where they occur in a text, and by themselves.

    Args:
      encoder: encoder of single texts, to D features that are means of tokens.

    Returns:
      An encoder of rows of three sequences, the text and the names of both entities, to
      `[B, 8 D]`: means over the whole text, the words between the entities, the marker
      before each, and the words of each; then each name by itself. All eight are of
      the same length, together of unit length. The last four `Tokens.marks` are where
      the markers before and behind each entity lie.

    References:
      Baldini Soares et al., `Matching the Blanks: Distributional Similarity for
      Relation Learning <https://arxiv.org/abs/1906.03158>`_, 2019, whose states of
      markers and means over entities are joined here.
    """

    def joined(x: jax.Array, present: jax.Array) -> jax.Array:
        del present  # All three always are.
        means, names = x[:, 0], x[:, 1:, 0]  # [B, 6, D] and [B, 2, D].
        blocks = linalg.unit(jnp.concatenate([means, names], axis=1))
        return blocks.reshape(x.shape[0], -1) * NUM_BLOCKS**-0.5

    width = NUM_BLOCKS * encoder.num_features
    return of_parts(encoder, NUM_SEQUENCES, joined, width, split=_with_entities)


def _with_entities(tokens: Tokens, num_parts: int) -> Tokens:
    """Splits rows, where each sequence has several masks of tokens to average."""
    marks = jnp.asarray(tokens.marks)  # [B, P + 4]
    B, L = jnp.shape(tokens.ids)
    parts = apart(tokens._replace(marks=marks[:, :num_parts]), num_parts, length=L)
    mask = jnp.asarray(parts.mask).reshape(B, num_parts, L)
    masks = jnp.repeat(mask[:, :, None], NUM_MEANS, axis=2)  # [B, P, 6, L]
    masks = masks.at[:, 0].multiply(_masks(marks[:, num_parts:], L).astype(mask.dtype))
    return parts._replace(pooled=masks.reshape(-1, NUM_MEANS, L))


def _masks(markers: jax.Array, length: int) -> jax.Array:
    """Returns the tokens of each mean over a text `[B, 6, L]`.

    Args:
      markers: `[B, 4]`, where the markers before and behind head and tail lie.
      length: L.
    """
    places = jnp.arange(length)[None, :]
    head, head_end, tail, tail_end = (markers[:, [column]] for column in range(4))
    first_end = jnp.minimum(head_end, tail_end)
    last_start = jnp.maximum(head, tail)
    return jnp.stack(
        [
            places >= 0 * head,
            (places > first_end) & (places < last_start),
            places == head,
            places == tail,
            (places > head) & (places < head_end),
            (places > tail) & (places < tail_end),
        ],
        axis=1,
    )
