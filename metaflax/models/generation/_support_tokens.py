"""The support set as one text: its examples one after the other.

Letters of shapes: S examples, L tokens of an example, C tokens of the text.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from metaflax import base
from metaflax.models.generation._choices import Choices
from metaflax.models.layers import _attention


class SupportText(NamedTuple):
    """A support set as one text of C tokens, padded on the right.

    Attributes:
      ids: `[C]`, the tokens.
      mask: `[C]`, which of them are real.
      left_out: `[]`, number of examples that did not fit.
    """

    ids: jax.Array
    mask: jax.Array
    left_out: jax.Array


def support_text(support: base.Batch, size: int) -> SupportText:
    """Concatenates the examples of a support set.

    An example consists of its input tokens and the last token to predict, which no
    input holds. Examples of weight 0 are left out. So is the first that does not fit,
    as a whole, with all that follow.

    Args:
      support: inputs are `Tokens` `[S, L]`, and targets `[S, L]` the next token of
        each, -1 where there is none; or `Choices`, and the number of the right one
        `[S]`.
      size: largest number of tokens.

    Returns:
      The text, of at most `size` tokens.

    Examples:
      >>> from metaflax.models import Tokens
      >>> ids = jnp.array([[5, 6, 0], [7, 0, 0]])
      >>> targets = jnp.array([[-1, 8, -1], [9, -1, -1]])
      >>> support = base.Batch(Tokens(ids, None, ids > 0), targets, jnp.ones(2))
      >>> text = support_text(support, 5)
      >>> print(text.ids, text.mask.sum(), text.left_out)
      [5 6 8 7 9] 5 0
    """
    tokens, targets = support.inputs, jnp.asarray(support.targets)
    if isinstance(tokens, Choices):  # Which hold the end of their targets.
        tokens, targets = (
            tokens.of_choice(targets),
            jnp.full(tokens.tokens.ids.shape, -1),
        )
    ids, weights = jnp.asarray(tokens.ids), jnp.asarray(support.weights)
    mask = jnp.asarray(tokens.mask).astype(bool) & (weights > 0)[:, None]
    num_examples, length = ids.shape
    order = jnp.arange(length)
    last = jnp.max(jnp.where(mask, order, 0), axis=1, keepdims=True)
    final = jnp.take_along_axis(targets, last, axis=1)[:, 0]
    has_final = (final >= 0) & mask.any(axis=1)
    lengths = jnp.sum(mask, axis=1) + has_final  # [S]
    ends = jnp.cumsum(lengths)
    fits = ends <= size

    # At most as many slots as the batch has real tokens, a number known from packing.
    most = ids.size if tokens.packed is None else jnp.size(tokens.packed)
    room = min(most + num_examples, size)
    places = (ends - lengths)[:, None] + _attention.positions(mask)
    places = jnp.where(mask & fits[:, None], places, room)
    text = jnp.zeros(room, ids.dtype).at[places].set(ids, mode="drop")
    places = jnp.where(has_final & fits, ends - 1, room)
    text = text.at[places].set(final.astype(ids.dtype), mode="drop")
    total = jnp.sum(jnp.where(fits, lengths, 0))
    left_out = jnp.sum((lengths > 0) & ~fits)
    return SupportText(text, jnp.arange(room) < total, left_out)
