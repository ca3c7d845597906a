"""Replacement of queries whose text is in the support set."""

from collections.abc import Sequence

import numpy as np

from metaflax.data.samplers import _pools

# Stream of random numbers for replacements, so that all other draws stay as they are.
STREAM = 7


def not_in_support(
    rows: np.ndarray, support: np.ndarray, groups: np.ndarray | None
) -> np.ndarray:
    """Returns those of `rows` whose text is not in the support set.

    Args:
      rows: indices of examples.
      support: indices of the support examples.
      groups: numbers of the groups of equal texts, `Examples.groups`.
    """
    if groups is None:
        return rows
    return rows[~np.isin(groups[rows], groups[support])]


def replace_support_texts(
    queries: Sequence[np.ndarray],
    support: np.ndarray,
    members: Sequence[np.ndarray],
    groups: np.ndarray | None,
    seed: int,
    index: int,
) -> list[np.ndarray]:
    """Replaces queries whose text is in the support set by others of their class.

    Args:
      queries: the query examples of each class.
      support: the support examples of all classes.
      members: all examples of each class.
      groups: numbers of the groups of equal texts, `Examples.groups`.
      seed: seed of the episode.
      index: number of the episode.

    Returns:
      The queries of each class: as many as before, or fewer where the class has no
      other text.
    """
    kept = [not_in_support(rows, support, groups) for rows in queries]
    if groups is None or all(map(_same_length, kept, queries)):
        return list(queries)
    rng = _pools.generator(seed, index, STREAM)
    return [
        np.concatenate([rows, _others(rows, support, all_rows, groups, rng)])[:count]
        for rows, all_rows, count in zip(kept, members, map(len, queries), strict=True)
    ]


def _others(
    rows: np.ndarray,
    support: np.ndarray,
    members: np.ndarray,
    groups: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Returns members with other texts than `rows` and the support set, shuffled."""
    used = np.concatenate([rows, support])
    others = not_in_support(rng.permutation(members), used, groups)
    _, first = np.unique(groups[others], return_index=True)
    return others[np.sort(first)]


def _same_length(first: np.ndarray, second: np.ndarray) -> bool:
    return len(first) == len(second)
