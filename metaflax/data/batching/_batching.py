"""Collates episodes into arrays that have few distinct shapes.

Every new shape is compiled anew, so the sampler fixes the numbers of examples, and
lengths and token budgets are rounded up to buckets.
"""

import dataclasses
import itertools
import math
from collections.abc import Sequence

import jax
import numpy as np

from metaflax import base
from metaflax.data.batching._token_codes import TokenCodes
from metaflax.data.batching._tokenize import TokenizedTexts
from metaflax.data.samplers._episodes import Episode
from metaflax.models import Tokens


@dataclasses.dataclass(frozen=True)
class Buckets:
    """The lengths and token budgets that batches are rounded up to.

    Attributes:
      lengths: padded lengths of a text in tokens, in increasing order.
      budget_ratio: upper bound, up to rounding, of the ratio of consecutive budgets of
        packed tokens, which bounds the padding.
      budget_multiple: budgets are multiples of this number, the smallest budget.

    Examples:
      >>> from metaflax.data import Buckets
      >>> buckets = Buckets.up_to(40)
      >>> buckets.lengths, buckets.length(17), buckets.budget(300)
      ((16, 24, 32, 40), 24, 320)
    """

    lengths: tuple[int, ...] = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
    budget_ratio: float = 1.25
    budget_multiple: int = 64

    def __post_init__(self):
        increasing = all(a < b for a, b in itertools.pairwise((0, *self.lengths)))
        if not self.lengths or not increasing:
            raise ValueError(f"bucket lengths are {self.lengths}; give rising numbers.")
        if self.budget_ratio <= 1 or self.budget_multiple < 1:
            raise ValueError(
                f"budget_ratio={self.budget_ratio} must be above 1 and"
                f" budget_multiple={self.budget_multiple} at least 1."
            )

    @classmethod
    def up_to(cls, max_length: int) -> "Buckets":
        """The default lengths below `max_length`, and `max_length` itself."""
        return cls((*(n for n in cls.lengths if n < max_length), max_length))

    def length(self, num_tokens: int) -> int:
        """Returns the smallest bucket that holds a text of `num_tokens`.

        Raises:
          ValueError: if the text is longer than the last bucket.
        """
        for length in self.lengths:
            if num_tokens <= length:
                return length
        raise ValueError(
            f"a text of {num_tokens} tokens is longer than the last bucket,"
            f" {self.lengths[-1]}; tokenize with a smaller max_length, or use"
            f" Buckets.up_to({num_tokens})."
        )

    def budget(self, num_tokens: int) -> int:
        """Returns the smallest budget that holds `num_tokens` in total."""
        budget = self.budget_multiple
        while budget < num_tokens:
            steps = math.ceil(budget * self.budget_ratio / self.budget_multiple)
            budget = steps * self.budget_multiple
        return budget

    def num_budgets(self, most: int) -> int:
        """Counts the budgets for up to `most` tokens.

        Examples:
          >>> Buckets(budget_ratio=1.5).num_budgets(300)  # 64, 128, 192 and 300 itself.
          4
        """
        budget, count = self.budget_multiple, 1
        while budget < most:
            budget, count = self.budget(budget + 1), count + 1
        return count

    def num_shapes(
        self, num_support: int, num_queries: int, most_windows: int = 1
    ) -> int:
        """Upper bound of the number of shapes of `collate`, each compiled once.

        Args:
          num_support: S, the maximum number of support examples.
          num_queries: Q, the maximum number of queries.
          most_windows: maximum number of windows per text.
        """

        def sides(num: int, length: int) -> int:
            rows = {_row_budget(n, num) for n in range(num, num * most_windows + 1)}
            return sum(self.num_budgets(row * length) for row in rows)

        return sum(
            sides(num_support, length) * sides(num_queries, length)
            for length in self.lengths
        )


def collate(
    episodes: Sequence[Episode],
    tokenized: TokenizedTexts,
    *,
    num_classes: int,
    num_support: int,
    num_queries: int,
    buckets: Buckets | None = None,
    pack: bool = True,
    codes: TokenCodes | None = None,
    share: Sequence[int] | np.ndarray | None = None,
) -> base.Task:
    """Stacks T episodes into one task of arrays with a leading axis T.

    Support and query share the length L, the smallest bucket that holds all texts, or P
    times that of the longest sequence where rows consist of P sequences. The keyword
    counts are a sampler's `sizes`: `collate(..., **sampler.sizes._asdict())`.

    Args:
      episodes: T episodes of one sampler.
      tokenized: the tokens of the sampler's examples.
      num_classes: N, the maximum number of classes.
      num_support: S, the maximum number of support examples.
      num_queries: Q, the maximum number of queries.
      buckets: the buckets that L and M are rounded up to.
      pack: whether to add the positions of real tokens, so that models skip padding.
      codes: the target of each token; None where episodes have a target per text.
      share: indices of the episodes to collate, in the shapes that all of them would
        take; None for all.

    Returns:
      A task of NumPy arrays. `inputs` are `Tokens` of ids `[T, S, L]` and packed
      `[T, M]`; targets are int32 `[T, S]`, float32 `[T, S, N]` where texts may have
      several labels, or int32 `[T, S, L]` of codes; weights are float32 `[T, S]`, 0
      on padding. Names of an episode's classes follow its support examples. The query
      has Q in place of S, and an M of its own. Where texts are cut to windows S and Q
      count rows, rounded up.

    Raises:
      ValueError: if an episode is larger than the counts, or a text than the buckets.

    Examples:
      >>> import numpy as np
      >>> from metaflax import data
      >>> pets = data.Examples("pets", ("it barks", "it purrs"), (("dog",), ("cat",)))
      >>> ids, offsets = np.array([7, 8, 7, 9], np.int32), np.array([0, 2, 4])
      >>> tokens = data.TokenizedTexts(ids, offsets)
      >>> rows, targets = np.array([0, 1], np.int32), np.array([1, 0], np.int32)
      >>> episode = data.Episode((0, 1), None, rows, targets, rows[:1], targets[:1])
      >>> support, query = data.collate(
      ...     [episode], tokens, num_classes=2, num_support=3, num_queries=1
      ... )
      >>> support.inputs.ids.shape, query.inputs.ids.shape
      ((1, 3, 16), (1, 1, 16))
      >>> print(support.targets, support.weights)
      [[1 0 0]] [[1. 1. 0.]]
    """
    buckets = buckets or Buckets()
    way = max(len(episode.classes) for episode in episodes)
    if way > num_classes:
        raise ValueError(
            f"an episode has {way} classes and the batch has room for {num_classes};"
            " pass the sampler's sizes."
        )
    fitted = [episode.fitted for episode in episodes]
    parts = [(rows.rows, e.query) for rows, e in zip(fitted, episodes, strict=True)]
    if tokenized.owners is not None:
        parts = [tuple(map(tokenized.rows_of, part)) for part in parts]
        most = [max(map(len, side)) for side in zip(*parts, strict=True)]
        num_support, num_queries = map(_row_budget, most, (num_support, num_queries))
    support = _rows([part[0] for part in parts], num_support, "support examples")
    query = _rows([part[1] for part in parts], num_queries, "queries")
    sides = (_widths(tokenized, rows) for rows in (support, query))
    length = buckets.length(max(int(side.max(initial=0)) for side in sides))
    selection = range(len(episodes)) if share is None else list(share)
    selected = [episodes[i] for i in selection]

    def batch(
        rows: np.ndarray,
        targets: list[np.ndarray],
        weights: Sequence[np.ndarray | None] = (),
    ) -> base.Batch:
        budget = _budget(tokenized, rows, length, buckets) if pack else None
        rows = rows[selection]
        return base.Batch(
            inputs=_tokens(tokenized, rows, length, budget),
            targets=(
                _targets(targets, rows.shape[1], num_classes)
                if codes is None
                else _codes(codes, selected, tokenized, rows, length, num_classes)
            ),
            weights=_weights(rows, weights),
        )

    supports = [fitted[i] for i in selection]
    return base.Task(
        batch(support, [x.targets for x in supports], [x.weights for x in supports]),
        batch(query, [e.query_targets for e in selected]),
    )


def collate_texts(
    tokenized: TokenizedTexts,
    indices: Sequence[int] | np.ndarray,
    batch_size: int,
    buckets: Buckets | None = None,
    pack: bool = True,
) -> Tokens:
    """Collates texts without targets into one batch for prediction.

    Args:
      tokenized: the tokens of the texts.
      indices: indices of the texts, at most `batch_size`.
      batch_size: B; rows after the last text are padding.
      buckets: the buckets that L and M are rounded up to.
      pack: as for `collate`.

    Returns:
      `Tokens` of NumPy arrays, ids `[B, L]` and packed `[M]`.

    Raises:
      ValueError: if there are too many texts, or one is longer than the buckets.

    Examples:
      >>> import numpy as np
      >>> from metaflax import data
      >>> ids, offsets = np.array([7, 8, 9], np.int32), np.array([0, 2, 3])
      >>> tokens = data.TokenizedTexts(ids, offsets)
      >>> buckets = data.Buckets((4,))
      >>> print(data.collate_texts(tokens, [1], 2, buckets).ids)
      [[9 0 0 0]
       [0 0 0 0]]
    """
    buckets = buckets or Buckets()
    rows = _rows([np.asarray(indices, np.int64)], batch_size, "texts")
    length = buckets.length(int(_widths(tokenized, rows).max()))
    budget = _budget(tokenized, rows, length, buckets) if pack else None
    tokens = _tokens(tokenized, rows, length, budget)
    return jax.tree.map(lambda leaf: leaf[0], tokens)  # The only "task".


def _rows(parts: Sequence[np.ndarray], size: int, what: str) -> np.ndarray:
    """Pads indices of examples to int64 `[T, size]`, with -1 on padding."""
    rows = np.full((len(parts), size), -1, np.int64)
    for row, part in zip(rows, parts, strict=True):
        if len(part) > size:
            raise ValueError(
                f"{len(part)} {what} do not fit into a batch of {size}; pass the"
                " sampler's sizes, or fewer."
            )
        row[: len(part)] = part
    return rows


def _weights(rows: np.ndarray, weights: Sequence[np.ndarray | None] = ()) -> np.ndarray:
    """Weights float32 `[T, size]` of rows: those given, else 1; 0 on padding."""
    padded = (rows >= 0).astype(np.float32)
    for row, row_weights in zip(padded, weights, strict=False):
        if row_weights is not None:
            row[: len(row_weights)] = row_weights
    return padded


def _row_budget(num_rows: int, num_texts: int) -> int:
    """Returns the smallest budget of rows: `num_texts` times a power of 1.5."""
    budget = num_texts
    while budget < num_rows:
        budget = math.ceil(1.5 * budget)
    return budget


def _lengths(tokenized: TokenizedTexts, rows: np.ndarray) -> np.ndarray:
    """Number of tokens of each row, 0 on padding."""
    lengths = tokenized.offsets[rows + 1] - tokenized.offsets[rows]
    return np.where(rows >= 0, lengths, 0)


def _widths(tokenized: TokenizedTexts, rows: np.ndarray) -> np.ndarray:
    """Number of tokens of the longest sequence of each row, 0 on padding."""
    widths = tokenized.sequences(rows)[1].max(axis=-1)
    return np.where(rows >= 0, widths, 0)


def _tokens(
    tokenized: TokenizedTexts, rows: np.ndarray, length: int, budget: int | None
) -> Tokens:
    """Pads the texts at `rows` `[T, S]`; packs them if given a budget.

    Each sequence of a row is padded to `length`.
    """
    mask, positions = _positions(tokenized, rows, length)
    types = tokenized.types
    if types is not None:
        types = np.where(mask, types[positions], 0).astype(np.int32)
    return Tokens(
        ids=np.where(mask, tokenized.flat[positions], np.int32(tokenized.pad_id)),
        types=types,
        mask=mask.astype(np.int32),
        packed=None if budget is None else _packed(mask, budget),
        marks=_marks(tokenized, rows, length),
    )


def _marks(
    tokenized: TokenizedTexts, rows: np.ndarray, length: int
) -> np.ndarray | None:
    """Places of marked tokens, or of the sequences of each row, `[T, S, P]`."""
    if tokenized.parts is None:
        return None if tokenized.marks is None else tokenized.marks[rows]
    places = np.arange(tokenized.num_parts, dtype=np.int32) * np.int32(length)
    return np.broadcast_to(places, (*rows.shape, len(places)))


def _positions(
    tokenized: TokenizedTexts, rows: np.ndarray, length: int
) -> tuple[np.ndarray, np.ndarray]:
    """Computes the mask of rows `[T, S]` and their positions in `flat` `[T, S, L]`."""
    starts, lengths = tokenized.sequences(rows)  # [T, S, P]
    steps = np.arange(length)
    mask = (rows >= 0)[..., None, None] & (steps < lengths[..., None])
    # Padding may have any position within bounds.
    positions = np.where(mask, starts[..., None] + steps, 0)  # [T, S, P, length]
    shape = (*rows.shape, tokenized.num_parts * length)
    return mask.reshape(shape), positions.reshape(shape)


def _codes(
    codes: TokenCodes,
    episodes: Sequence[Episode],
    tokenized: TokenizedTexts,
    rows: np.ndarray,
    length: int,
    num_classes: int,
) -> np.ndarray:
    """Gathers the targets of the tokens of rows `[T, S]` as episode-local codes."""
    mask, positions = _positions(tokenized, rows, length)
    targets = np.where(mask, codes.flat[positions], -1)  # [T, S, L]
    for row, episode in zip(targets, episodes, strict=True):
        row[:] = codes.local(row, episode.classes, num_classes)
    return targets


def _budget(
    tokenized: TokenizedTexts, rows: np.ndarray, length: int, buckets: Buckets
) -> int:
    """M, the smallest budget that holds the tokens of each task of rows `[T, S]`."""
    most = int(_lengths(tokenized, rows).sum(axis=1).max())
    return min(buckets.budget(most), rows.shape[1] * tokenized.num_parts * length)


def _packed(mask: np.ndarray, budget: int) -> np.ndarray:
    """Positions of each task's real tokens, int32 `[T, M]`, padded with S * L."""
    flat = mask.reshape(len(mask), -1)  # [T, S * L]
    packed = np.full((len(flat), budget), flat.shape[1], np.int32)
    for row, real in zip(packed, flat, strict=True):
        row[: real.sum()] = np.flatnonzero(real)
    return packed


def _targets(parts: list[np.ndarray], size: int, num_classes: int) -> np.ndarray:
    """Pads targets to `[T, size]`, or multi-label ones `[T, size, num_classes]`."""
    shape = (size,) if parts[0].ndim == 1 else (size, num_classes)
    targets = np.zeros((len(parts), *shape), parts[0].dtype)
    for row, part in zip(targets, parts, strict=True):
        row[tuple(slice(n) for n in part.shape)] = part
    return targets
