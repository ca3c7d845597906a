"""Batches of texts of similar length, in few shapes, for fast encoding of many texts.

Texts are sorted by length and divided into batches with a budget of tokens rather than
of texts: many short texts, or few long ones, keep the device equally busy. Real tokens
are packed, so that padding has a cost in attention only.
"""

import bisect
import collections
import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from metaflax import data

# Token budget per text of `batch_size`, the typical length of a text. Twice the budget
# takes an eighth more time for long texts, since arrays of more than 32 MiB are
# allocated by the system anew in each batch.
TOKENS_PER_TEXT = 32
# Padded lengths of batches with fewer tokens than the budget. Few suffice, since most
# of these batches are the last of a window or single texts of a stream.
COARSE_LENGTHS = (32, 128, 512)
# Above this length, padded lengths are half as far apart, since attention to padding
# then costs more than compiling another shape.
FINE_FROM = 128
# Ratio of the rows of a partial batch to the texts of its padded length that fit the
# budget, so that shorter texts fill it too.
COARSE_ROWS_RATIO = 3
# Largest ratio of the lengths of texts in a batch, if they are long enough for
# attention to padding to matter.
MAX_LENGTH_RATIO = 4
# Ratio between consecutive token budgets.
BUDGET_RATIO, SMALLEST_BUDGET = 2, 32


class Shape(NamedTuple):
    """Shape of a batch, compiled once.

    Attributes:
      num_rows: B, largest number of texts.
      length: L, padded length of a text.
      num_tokens: M, largest number of tokens of all texts.
    """

    num_rows: int
    length: int
    num_tokens: int

    def holds(self, lengths: np.ndarray) -> bool:
        """Returns whether texts of these lengths fit."""
        return self.num_first(lengths) == len(lengths)

    def num_first(self, lengths: np.ndarray) -> int:
        """Counts the first texts that fit."""
        first = lengths[: self.num_rows]
        fits = (np.cumsum(first) <= self.num_tokens) & (first <= self.length)
        return len(first) if fits.all() else int(np.argmin(fits))


@dataclasses.dataclass(frozen=True)
class LengthBatches:
    """Divides texts into batches of few shapes by their lengths.

    Attributes:
      lengths: padded lengths of full batches, in increasing order.
      num_tokens: budget of tokens of a full batch.

    Examples:
      >>> batches = LengthBatches.up_to(64, num_tokens=128)
      >>> lengths = np.array([5, 60, 7, 30, 6, 50])
      >>> for rows, shape in batches.plan(lengths):
      ...     print(rows, shape)
      [1 5] Shape(num_rows=3, length=64, num_tokens=128)
      [3 2 4 0] Shape(num_rows=6, length=32, num_tokens=64)
    """

    lengths: tuple[int, ...]
    num_tokens: int

    @classmethod
    def up_to(cls, max_length: int, num_tokens: int) -> "LengthBatches":
        """Returns batches for texts of up to `max_length` tokens."""
        lengths = data.Buckets.up_to(max_length).lengths
        between = [
            (shorter + longer) // 2
            for shorter, longer in itertools.pairwise(lengths)
            if shorter >= FINE_FROM
        ]
        return cls(tuple(sorted({*lengths, *between})), num_tokens)

    @property
    def coarse_lengths(self) -> tuple[int, ...]:
        """Padded lengths of batches that are not full."""
        longest = self.lengths[-1]
        return (*(n for n in COARSE_LENGTHS if n < longest), longest)

    def shapes(self) -> list[Shape]:
        """Returns all shapes that batches can have, by number of tokens."""
        full = [self._full(number) for number in range(len(self.lengths))]
        budgets, budget = [], self.num_tokens // BUDGET_RATIO
        while budget >= SMALLEST_BUDGET:
            budgets.append(budget)
            budget //= BUDGET_RATIO
        small = [
            Shape(math.ceil(COARSE_ROWS_RATIO * budget / length), length, budget)
            for length in self.coarse_lengths
            for budget in budgets
            if length <= budget
        ]
        return sorted({*full, *small}, key=lambda s: (s.num_tokens, s.length))

    def plan(self, lengths: np.ndarray) -> Iterator[tuple[np.ndarray, Shape]]:
        """Yields the texts of each batch, longest first, and its shape.

        Args:
          lengths: numbers of tokens of the texts, `[R]`.

        Raises:
          ValueError: if a text is longer than the longest batch.
        """
        shapes = self.shapes()
        order = np.argsort(-lengths, kind="stable")
        falling = lengths[order]
        first = 0
        while first < len(order):
            last = first + self._num_alike(falling[first:])
            part = falling[first:last]
            yield order[first:last], next(s for s in shapes if s.holds(part))
            first = last

    def num_together(self, lengths: np.ndarray, num_tokens: int) -> int:
        """Counts the first texts that fit one batch of at most `num_tokens` tokens.

        Args:
          lengths: numbers of tokens of the texts, `[R]`, at least one.
          num_tokens: token budget of the batch; a longer text is a batch of its own.

        Examples:
          >>> batches = LengthBatches.up_to(64, num_tokens=128)
          >>> batches.num_together(np.array([10, 20, 30, 10]), num_tokens=64)
          3
        """
        shapes = [s for s in self.shapes() if s.num_tokens <= num_tokens]
        return max([1, *(s.num_first(lengths) for s in shapes)])

    def _full(self, number: int) -> Shape:
        """Returns the shape of a full batch of texts of one of `lengths`.

        Its rows suffice for texts just longer than the next smaller length.
        """
        length = self.lengths[number]
        shortest = self.lengths[number - 1] + 1 if number else max(1, 2 * length // 3)
        num_tokens = max(self.num_tokens, length)
        return Shape(math.ceil(num_tokens / shortest), length, num_tokens)

    def _num_alike(self, falling: np.ndarray) -> int:
        """Counts the first texts of similar length, given decreasing lengths."""
        longest = int(falling[0])
        number = bisect.bisect_left(self.lengths, longest)
        if number == len(self.lengths):
            raise ValueError(
                f"a text of {longest} tokens is longer than the longest batch,"
                f" {self.lengths[-1]}; tokenize with a smaller max_length."
            )
        full = self._full(number)
        candidates = falling[: full.num_rows]
        within = np.cumsum(candidates) <= full.num_tokens
        alike = MAX_LENGTH_RATIO * np.maximum(candidates, self.lengths[0]) >= longest
        return int(np.sum(within & alike))  # Both are monotone.


def encoded(
    apply: Callable[[Any], Any],
    tokenized: data.TokenizedTexts,
    rows: np.ndarray,
    batches: LengthBatches,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields rows of similar length with a network's outputs for them.

    While the device computes a batch, the host makes and dispatches the next one, and
    only then fetches the outputs of the first.

    Args:
      apply: `outputs = apply(tokens)`, a jitted function with outputs `[B, ...]`.
      tokenized: the texts.
      rows: indices of the rows to encode.
      batches: batching by length.
    """
    waiting: collections.deque[tuple[np.ndarray, Any]] = collections.deque()

    def fetched() -> tuple[np.ndarray, np.ndarray]:
        part, outputs = waiting.popleft()
        return part, np.asarray(outputs)[: len(part)]

    # The size of a row of several sequences is the sum over its sequences.
    for numbers, shape in batches.plan(tokenized.widths[rows]):
        num_tokens = shape.num_tokens * tokenized.num_parts
        buckets = data.Buckets((shape.length,), budget_multiple=num_tokens)
        part = rows[numbers]
        tokens = data.collate_texts(tokenized, part, shape.num_rows, buckets)
        waiting.append((part, apply(tokens)))
        if len(waiting) > 1:
            yield fetched()
    while waiting:
        yield fetched()


def in_order(
    batches: Iterator[tuple[np.ndarray, np.ndarray]], num_rows: int, num_features: int
) -> np.ndarray:
    """Puts the outputs of batches in the order of rows, with zeros for missing rows.

    Args:
      batches: rows and outputs `[B, ...]`, as `encoded` yields them.
      num_rows: number of rows R.
      num_features: number of features D, for a result of no batches.

    Returns:
      float32 `[R, ..., D]`.

    Examples:
      >>> batches = iter([(np.array([2, 0]), np.array([[3.0], [1.0]]))])
      >>> print(in_order(batches, 3, 1).T)
      [[1. 0. 3.]]
    """
    ordered = None
    for rows, outputs in batches:
        if ordered is None:
            ordered = np.zeros((num_rows, *outputs.shape[1:]), np.float32)
        ordered[rows] = outputs
    return (
        np.zeros((num_rows, num_features), np.float32) if ordered is None else ordered
    )
