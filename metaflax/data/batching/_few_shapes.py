"""Padded shapes of many batches of texts, few of which are compiled.

A program for a whole network takes seconds to compile, so that each batch cannot have
a shape of its own; if all are padded to the largest, most of the work is padding.
"""

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

# Work on a padded position beside that on a token: it takes part in attention alone.
PADDED_POSITION = 1 / 8
# Numbers are rounded up to this many steps in each power of two, so that other batches
# have the same shapes, which are compiled already.
STEPS_PER_OCTAVE = 8


class Shape(NamedTuple):
    """Sizes of a batch of texts, or those that it is padded to.

    Attributes:
      num_rows: B, number of texts.
      length: L, number of tokens of the longest text.
      num_tokens: M, number of tokens of all texts.
    """

    num_rows: int
    length: int
    num_tokens: int

    @property
    def work(self) -> float:
        """The cost of the batch, in tokens."""
        return self.num_tokens + PADDED_POSITION * self.num_rows * self.length

    def rounded(self, lengths: Sequence[int]) -> "Shape":
        """Rounds up to the next of some lengths, and to few numbers of the rest."""
        num_rows = _round_up(self.num_rows)
        length = next(n for n in lengths if n >= self.length)
        num_tokens = min(_round_up(self.num_tokens), num_rows * length)
        return Shape(num_rows, length, num_tokens)

    def joined(self, other: "Shape") -> "Shape":
        """Returns the smallest shape that holds both."""
        return Shape(*map(max, self, other))


class TaskShape(NamedTuple):
    """Sizes of the texts of a task, or those that they are padded to.

    Attributes:
      parts: shapes of the support set, of the queries and so on.
    """

    parts: tuple[Shape, ...]

    @property
    def work(self) -> float:
        """The cost of the task, in tokens."""
        return sum(shape.work for shape in self.parts)

    def joined(self, other: "TaskShape") -> "TaskShape":
        """Returns the smallest shape that holds both."""
        pairs = zip(self.parts, other.parts, strict=True)
        return TaskShape(tuple(one.joined(two) for one, two in pairs))


S = TypeVar("S", Shape, TaskShape)


def few_shapes(
    sizes: Sequence[Shape], lengths: Sequence[int], *, most: int, compilation: float
) -> list[Shape]:
    """Chooses few shapes that hold all batches with the least work.

    Batches of similar work share a shape. A further shape is taken where it saves more
    work than its compilation costs.

    Args:
      sizes: sizes of E batches.
      lengths: padded lengths of a text, in increasing order.
      most: largest number of distinct shapes.
      compilation: cost of compiling a shape, in tokens.

    Returns:
      The shape of each batch, E of at most `most` distinct ones.

    Examples:
      >>> few, many = Shape(5, 30, 90), Shape(80, 28, 1500)
      >>> options = {"lengths": (32, 64), "most": 4, "compilation": 5000}
      >>> for shape in sorted({*few_shapes([few] * 8 + [many] * 9, **options)}):
      ...     print(*shape)
      5 32 96
      80 32 1536
      >>> len({*few_shapes([few, many], **options)})
      1
    """
    rounded = [size.rounded(lengths) for size in sizes]
    return share_shapes(rounded, most=most, compilation=compilation)


def share_shapes(sizes: Sequence[S], *, most: int, compilation: float) -> list[S]:
    """Chooses few shapes as `few_shapes` does, of sizes that are rounded already."""
    counts = Counter(sizes)
    kinds = sorted(counts, key=lambda shape: (shape.work, shape))
    ends = _ends(kinds, counts, most, compilation)
    shape_of = {}
    for first, last in itertools.pairwise((0, *ends)):
        shape = kinds[first]
        for kind in kinds[first:last]:
            shape = shape.joined(kind)
        shape_of |= dict.fromkeys(kinds[first:last], shape)
    return [shape_of[size] for size in sizes]


def _ends(
    kinds: Sequence[S], counts: Counter[S], most: int, compilation: float
) -> tuple[int, ...]:
    """Divides kinds of batches into at most `most` runs of least cost.

    By dynamic programming: `best[i]` has the least cost of the first i kinds, and the
    ends of the runs that have it.
    """
    costs = _run_costs(kinds, counts)
    best: dict[int, tuple[float, tuple[int, ...]]] = {0: (0.0, ())}
    for _ in range(most):
        further = dict(best)
        for first, (cost, ends) in best.items():
            for last in range(first + 1, len(kinds) + 1):
                total = cost + costs[first, last] + compilation
                candidate = total, (*ends, last)
                further[last] = min(further.get(last, candidate), candidate)
        best = further
    return best[len(kinds)][1]


def _run_costs(kinds: Sequence[S], counts: Counter[S]) -> dict[tuple[int, int], float]:
    """Computes the work of all batches of each run of kinds, in one shape."""
    costs = {}
    for first, shape in enumerate(kinds):
        number = 0
        for last, kind in enumerate(kinds[first:], first + 1):
            shape, number = shape.joined(kind), number + counts[kind]
            costs[first, last] = number * shape.work
    return costs


def _round_up(number: int) -> int:
    step = max(1, 2 ** (number - 1).bit_length() // (2 * STEPS_PER_OCTAVE))
    return -(-number // step) * step
