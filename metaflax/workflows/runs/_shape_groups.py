"""Chunks of episodes in few padded shapes, each with a compiled program.

A program that adapts a whole network takes seconds or minutes to compile, so that a
shape for each episode is too expensive; with all episodes padded to the largest, most
of the work would be padding.
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

# Largest number of compiled shapes.
MOST_SHAPES = 4
# Cost of a compilation, in tokens of an adaptation step or of prediction.
TOKENS_PER_COMPILATION = 2**14

# Arrays of T episodes: leaves `[T, ...]`.
CollateFn = Callable[[Sequence[data.Episode]], Any]


def grouped_chunks(
    episodes: Sequence[data.Episode],
    size: int,
    collate: CollateFn,
    algorithm: base.MetaAlgorithm,
) -> list[Chunk]:
    """Divides episodes into chunks whose arrays have few shapes.

    On CPU a chunk is a single episode, since several would be scored one by one.

    Args:
      episodes: the episodes.
      size: number of episodes of a chunk on other devices.
      collate: function that makes arrays of episodes, padded to the largest of them.
      algorithm: algorithm that adapts; the number of its inner steps decides which
        programs are worth their compilation.

    Returns:
      Chunks. The `shape` of each is a list of episodes that together need its whole
      shape, see `collated`.
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
    """Makes the arrays of a chunk, padded to the shape of its group."""
    arrays = collate([*chunk.episodes, *chunk.shape])
    return jax.tree.map(lambda leaf: leaf[: len(chunk.episodes)], arrays)


def shape_of(arrays: Any) -> TaskShape:
    """Returns the sizes of the texts in the arrays of one episode."""
    return TaskShape(tuple(_shapes(arrays)))


def _shapes(arrays: Any) -> Iterator[Shape]:
    for tokens in jax.tree.leaves(arrays, is_leaf=lambda x: isinstance(x, Tokens)):
        if isinstance(tokens, Tokens):
            *rows, length = np.shape(tokens.ids)
            used = tokens.ids if tokens.packed is None else tokens.packed
            yield Shape(math.prod(rows), length, math.prod(np.shape(used)))


def _largest(numbers: Sequence[int], sizes: Sequence[TaskShape]) -> list[int]:
    """Returns a few episodes that together need the whole shape of all of them."""
    needs = np.array([np.ravel(sizes[number].parts) for number in numbers])
    return [numbers[n] for n in np.unique(needs.argmax(axis=0))]
