"""Encoders of rows that hold a text with its choices, each choice encoded by itself.

The sequences of a row form a grid: each takes the same share of the padded row, so that
splitting a row moves nothing. Features of choices that a row lacks are zero.
"""

import jax
import jax.numpy as jnp

from metaflax.models.layers._parts import NUM_BLOCKS, compared, of_parts
from metaflax.models.layers._pooling import Encoder
from metaflax.models.layers._tokens import Tokens


def each_choice(encoder: Encoder) -> Encoder:
    """Encodes a text with each of its choices in one sequence.

    Args:
      encoder: encoder of single sequences, to D features.

    Returns:
      An encoder of rows of N sequences, to `[B, N, D]`.

    References:
      Radford et al., `Improving Language Understanding by Generative Pre-Training
      <https://cdn.openai.com/research-covers/language-unsupervised/language_understanding_paper.pdf>`_,
      2018, section 3.3.
    """
    return of_parts(encoder, None, _present, encoder.num_features, split=from_grid)


def choices_in_towers(encoder: Encoder) -> Encoder:
    """Encodes a text and its choices apart, and compares the text with each choice.

    Args:
      encoder: encoder of single texts, to D features.

    Returns:
      An encoder of rows of 1 + N sequences, to `[B, N, 2 D]`, see `compared`.
    """

    def with_text(x: jax.Array, present: jax.Array) -> jax.Array:
        return _present(compared(x[:, :1], x[:, 1:]), present[:, 1:])

    num_features = NUM_BLOCKS * encoder.num_features
    return of_parts(encoder, None, with_text, num_features, split=from_grid)


def from_grid(tokens: Tokens, num_parts: int) -> Tokens:
    """Splits rows `[B, L]` of P equal shares into rows `[B P, L / P]`."""
    length = jnp.shape(tokens.ids)[1] // num_parts
    types = tokens.types
    return Tokens(
        jnp.asarray(tokens.ids).reshape(-1, length),
        None if types is None else jnp.asarray(types).reshape(-1, length),
        jnp.asarray(tokens.mask).reshape(-1, length),
        tokens.packed,  # The places in the flattened rows are the same.
    )


def _present(x: jax.Array, present: jax.Array) -> jax.Array:
    return jnp.where(present[..., None], x, jnp.zeros_like(x))
