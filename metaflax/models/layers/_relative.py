"""Relative positions of tokens, and tables looked up by them.

The relative position, or distance, of a key (column j) from a query (row i) is j - i.
Tables by distance have 2 L - 1 rows, from distance 1 - L to L - 1.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def distances(length: int) -> np.ndarray:
    """Returns all distances in texts of L tokens, ascending, `[2 L - 1]`."""
    return np.arange(1 - length, length)


def for_distances(
    of: Callable[[np.ndarray], np.ndarray], length: Any, longest: int
) -> Any:
    """Evaluates a function of distances at each distance in texts of L tokens.

    Args:
      of: function of distances, in NumPy.
      length: L; a symbolic one of `jax.export` too.
      longest: bound of a symbolic L. The values for shorter texts are the middle of
        those for the longest.

    Returns:
      `[2 L - 1]`, for ascending distances.
    """
    if isinstance(length, int):
        return of(distances(length))
    every = jnp.asarray(of(distances(longest)))
    return every[longest - length : longest + length - 1]


def two_sided_buckets(
    distance: np.ndarray, *, num_buckets: int, far: int
) -> np.ndarray:
    """Sorts distances into buckets, finely where they are short.

    Half of the buckets are for either side. Of these, half hold one distance each, and
    the others grow with its logarithm.

    Args:
      distance: whole numbers.
      num_buckets: number of buckets.
      far: from this distance on all are in the last bucket of their side.

    Returns:
      Numbers of buckets.

    References:
      Raffel et al., `Exploring the Limits of Transfer Learning with a Unified
      Text-to-Text Transformer <https://arxiv.org/abs/1910.10683>`_, 2020.
    """
    side = num_buckets // 2
    buckets = _size_buckets(np.abs(distance), num_buckets=side, far=far)
    return buckets + np.where(distance > 0, side, 0)


def one_sided_buckets(
    distance: np.ndarray, *, num_buckets: int, far: int
) -> np.ndarray:
    """Sorts distances to earlier tokens into buckets, finely where they are short.

    Half of the buckets hold one distance each, and the others grow with its logarithm.

    Args:
      distance: whole numbers; positive ones share the bucket of zero.
      num_buckets: number of buckets.
      far: from this distance back on all are in the last bucket.

    Returns:
      Numbers of buckets.

    References:
      Raffel et al., `Exploring the Limits of Transfer Learning with a Unified
      Text-to-Text Transformer <https://arxiv.org/abs/1910.10683>`_, 2020.
    """
    return _size_buckets(np.maximum(-distance, 0), num_buckets=num_buckets, far=far)


def _size_buckets(size: np.ndarray, *, num_buckets: int, far: int) -> np.ndarray:
    """Sorts the sizes of distances into buckets."""
    single = num_buckets // 2
    # In float32, as networks were trained with.
    octaves = np.log(np.maximum(size, 1).astype(np.float32) / np.float32(single))
    octaves = octaves / np.float32(math.log(far / single))
    octaves = octaves * np.float32(num_buckets - single)
    long = np.minimum(single + octaves.astype(np.int64), num_buckets - 1)
    return np.where(size < single, size, long)


def log_buckets(distance: np.ndarray, *, num_buckets: int, far: int) -> np.ndarray:
    """Shortens distances: exact up to half of the buckets, then their logarithm.

    Args:
      distance: whole numbers.
      num_buckets: S, number of buckets of either sign.
      far: the distance that is shortened to S - 1.

    Returns:
      Shortened distances, of the same signs.

    References:
      He et al., `DeBERTaV3 <https://arxiv.org/abs/2111.09543>`_, 2021.
    """
    middle, size = num_buckets // 2, np.abs(distance)
    octaves = np.log(np.maximum(size, middle).astype(np.float32) / np.float32(middle))
    octaves = octaves / np.log(np.float32((far - 1) / middle)) * np.float32(middle - 1)
    long = np.ceil(octaves).astype(np.int64) + middle
    return np.where(size <= middle, distance, np.sign(distance) * long)


def bias_by_pairs(table: jax.Array, buckets: np.ndarray) -> jax.Array:
    """Selects the bias of scores of pairs of tokens, by the bucket of their distance.

    Args:
      table: `[buckets, H]`.
      buckets: `[2 L - 1]`, of the distances, ascending.

    Returns:
      `[H, L, L]`, for each row i by column j.
    """
    indicators = jax.nn.one_hot(buckets, table.shape[0], dtype=table.dtype)
    by_distance = jnp.matmul(indicators, table, precision="highest").T  # [H, 2 L - 1]
    H, num = by_distance.shape
    rows = jnp.broadcast_to(by_distance[:, None], (H, (num + 1) // 2, num))
    return by_pairs(rows)


def by_pairs(x: jax.Array) -> jax.Array:
    """Selects the value of the distance of each pair of tokens.

    Args:
      x: `[..., L, 2 L - 1]`, for each row i by distance, ascending.

    Returns:
      `[..., L, L]`, for each row i by column j. No indexing: its derivative would add
      up one number after the other.
    """
    *batch, length, num_distances = x.shape
    if length == 1:
        return x
    # In rows of one more, the columns of row i begin i places further left.
    padding = [(0, 0)] * (len(batch) + 1) + [(0, 1)]
    flat = jnp.pad(x, padding).reshape(*batch, length * (num_distances + 1))
    start = length - 1
    flat = flat[..., start : start + length * num_distances]
    return flat.reshape(*batch, length, num_distances)[..., :length]
