"""Chunks of episodes in few padded shapes, of which a program is compiled each.

A program that adapts a whole network takes seconds or minutes to compile, so that each
episode cannot have a shape of its own; if all are padded to the largest, most of the
work is padding.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from metaflax import base, data
from metaflax.data.batching._few_shapes import Shape, TaskShape, share_shapes
from metaflax.models import Tokens
from metaflax.workflows.runs._scorer import Chunk, chunks_of

# Compiled shapes at most.
MOST_SHAPES = 4
# Tokens that are adapted to in one step, or predicted, in the time of a compilation.
TOKENS_PER_COMPILATION = 2**14

# Arrays of T episodes: leaves `[T, ...]`.
CollateFn = Callable[[Sequence[data.Episode]], Any]


def grouped_chunks(
    episodes: Sequence[data.Episode],
    size: int,
    collate: CollateFn,
    algorithm: base.MetaAlgorithm,
) -> list[Chunk]:
    """Divides episodes into chunks whose arrays take few shapes.

    On CPU a chunk is a single episode: several would be scored one by one.

    Args:
      episodes: the episodes.
      size: number of episodes of a chunk on other devices.
      collate: makes arrays of episodes, which it pads to the largest of them.
      algorithm: what adapts; its inner steps make a program worth its compilation.

    Returns:
      Chunks, the `shape` of each a list of episodes whose arrays need all of its shape:
      see `collated`.
    """
    size = 1 if jax.default_backend() == "cpu" else size
    sizes = [shape_of(collate([episode])) for episode in episodes]
    num_steps = 0 if algorithm.inner is None else algorithm.inner.num_steps
    compilation = TOKENS_PER_COMPILATION / max(1, num_steps)
    shapes = share_shapes(sizes, most=MOST_SHAPES, compilation=compilation)
    numbers: dict[TaskShape, list[int]] = {}
    for number, shape in enumerate(shapes):
        numbers.setdefault(shape, []).append(number)
    return [
        chunk
        for alike in numbers.values()
        for chunk in chunks_of(
            episodes, alike, size, [episodes[n] for n in _largest(alike, sizes)]
        )
    ]


def collated(chunk: Chunk, collate: CollateFn) -> Any:
    """Makes the arrays of a chunk, in the shape of its group."""
    arrays = collate([*chunk.episodes, *chunk.shape])
    return jax.tree.map(lambda leaf: leaf[: len(chunk.episodes)], arrays)


def shape_of(arrays: Any) -> TaskShape:
    """Sizes of the texts in the arrays of one episode."""
    return TaskShape(tuple(_shapes(arrays)))


def _shapes(arrays: Any) -> Iterator[Shape]:
    for tokens in jax.tree.leaves(arrays, is_leaf=lambda x: isinstance(x, Tokens)):
        if isinstance(tokens, Tokens):
            *rows, length = np.shape(tokens.ids)
            used = tokens.ids if tokens.packed is None else tokens.packed
            yield Shape(math.prod(rows), length, math.prod(np.shape(used)))


def _largest(numbers: Sequence[int], sizes: Sequence[TaskShape]) -> list[int]:
    """Returns few episodes that together need all of the shape of these."""
    needs = np.array([np.ravel(sizes[number].parts) for number in numbers])
    return [numbers[n] for n in np.unique(needs.argmax(axis=0))]
