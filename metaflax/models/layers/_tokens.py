"""Batches of tokenised texts, the inputs of all networks."""

from typing import NamedTuple

import chex
import jax.numpy as jnp

from metaflax.base._model import RowTable


class Tokens(NamedTuple):
    """A batch of B tokenised texts, padded on the right to L tokens.

    Padding never changes an output, and with `packed` it costs nothing outside
    attention either: the network then works on M rows, the real tokens of the whole
    batch, instead of B * L.

    Attributes:
      ids: `[B, L]` int32, rows of the word embedding.
      types: `[B, L]` int32, the segment of each token; None for all zeros.
      mask: `[B, L]`, 1 for a real token and 0 for padding. The first token of a text
        is real; a text of padding only gets finite features without meaning.
      packed: `[M]` int32, where the real tokens lie in the flattened `[B * L]`, in
        order, filled up with B * L to a static budget M. None for no packing. Tokens
        beyond the budget would be lost, so the data pipeline chooses M on the host,
        large enough for every batch that shares a compiled step.
      marks: `[B, P]` int32, the places in each text of P tokens that stand for parts
        of it, such as entities; None where nothing uses them.
      pooled: `[B, L]`, 1 for a token that pooling "mean" averages, or `[B, K, L]` for
        K means, which encoders of parts of texts set; None for all real tokens.

    Examples:
      >>> import numpy as np
      >>> mask = np.array([[1, 1, 1], [1, 1, 0]], np.int32)
      >>> real = np.flatnonzero(mask)
      >>> packed = np.full(8, mask.size, np.int32)
      >>> packed[: len(real)] = real
      >>> print(packed)
      [0 1 2 3 4 6 6 6]
    """

    ids: chex.Array
    types: chex.Array | None
    mask: chex.Array
    packed: chex.Array | None = None
    marks: chex.Array | None = None
    pooled: chex.Array | None = None

    def unpacked(self) -> "Tokens":
        """Returns the same texts without packing: every leaf is `[B, ...]`."""
        return self._replace(packed=None)

    def padded(self, length: int) -> "Tokens":
        """Returns the same texts, padded to `length` tokens.

        Examples:
          >>> import numpy as np
          >>> packed = np.array([0, 1, 2, 4, 4])
          >>> tokens = Tokens(np.ones((2, 2)), None, np.array([[1, 1], [1, 0]]), packed)
          >>> print(tokens.padded(5).mask[1], tokens.padded(5).packed)
          [1 0 0 0 0] [ 0  1  5 10 10]
        """
        num_texts, present = jnp.shape(self.ids)
        if present == length:
            return self
        room = (0, 0), (0, length - present)

        packed = self.packed
        if packed is not None:
            packed = jnp.asarray(packed)
            places = packed // present * length + packed % present
            packed = jnp.where(packed < num_texts * present, places, num_texts * length)
        return Tokens(
            jnp.pad(self.ids, room),
            None if self.types is None else jnp.pad(self.types, room),
            jnp.pad(self.mask, room),
            packed,
            self.marks,
            None if self.pooled is None else _lengthened(self.pooled, length),
        )

    def concatenate(self, other: "Tokens") -> "Tokens":
        """Appends the texts of `other`; the shorter are padded to the longer L.

        Returns:
          `Tokens` of all texts, packed where both are; budgets add up.
        """
        length = max(jnp.shape(self.ids)[1], jnp.shape(other.ids)[1])
        self, other = self.padded(length), other.padded(length)
        mine, theirs = jnp.size(self.ids), jnp.size(other.ids)
        packed = None
        if self.packed is not None and other.packed is not None:
            # Fill marks one past the end; sorting puts all of it behind the real ones.
            first = jnp.where(self.packed < mine, self.packed, mine + theirs)
            packed = jnp.sort(jnp.concatenate([first, other.packed + mine]))
        types = None
        if self.types is not None or other.types is not None:
            zeros = [jnp.zeros_like(part.ids) for part in (self, other)]
            each = [
                zero if part.types is None else jnp.asarray(part.types)
                for zero, part in zip(zeros, (self, other), strict=True)
            ]
            types = jnp.concatenate(each)
        marks = None
        if self.marks is not None and other.marks is not None:
            marks = jnp.concatenate([self.marks, other.marks])
        return Tokens(
            jnp.concatenate([self.ids, other.ids]),
            types,
            jnp.concatenate([self.mask, other.mask]),
            packed,
            marks,
        )


def _lengthened(mask: chex.Array, length: int) -> chex.Array:
    """Pads `[B, ..., L]` with zeros to `length` tokens."""
    room = [(0, 0)] * (jnp.ndim(mask) - 1)
    return jnp.pad(mask, [*room, (0, length - jnp.shape(mask)[-1])])


def word_table(path: str = "encoder/embeddings/word") -> RowTable:
    """Describes the word embedding of a network as a table of rows.

    Args:
      path: its path in the meta-parameters.

    Returns:
      A `RowTable`, for `metaflax.compact_rows`.

    Examples:
      >>> import numpy as np
      >>> from metaflax import models
      >>> table = models.word_table()
      >>> tokens = models.Tokens(np.array([[700, 900, 700]]), None, np.ones((1, 3)))
      >>> table.path, table.numbers(tokens)
      ('encoder/embeddings/word', array([[700, 900, 700]]))
      >>> table.renumbered(tokens, np.array([[0, 1, 0]])).ids
      array([[0, 1, 0]])
    """
    return RowTable(
        path,
        numbers=lambda tokens: tokens.ids,
        renumbered=lambda tokens, ids: tokens._replace(ids=ids),
    )
