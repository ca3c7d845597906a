"""Episodes whose texts are read and tokenized only when they are drawn."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from metaflax import base
from metaflax.data.batching._batching import Buckets, collate
from metaflax.data.batching._tokenize import TokenizedTexts
from metaflax.data.samplers._episodes import Episode, Sampler


class ShowingSampler(Sampler, Protocol):
    """What draws episodes and reads their texts."""

    def shown(self, row: int, number: int) -> str:
        """What a model reads of a row, as an example of a class."""
        ...


def collate_shown(
    episodes: Sequence[Episode],
    sampler: ShowingSampler,
    tokenize: Callable[[list[str]], TokenizedTexts],
    *,
    num_classes: int,
    num_support: int,
    num_queries: int,
    buckets: Buckets | None = None,
    share: Sequence[int] | np.ndarray | None = None,
) -> base.Task:
    """As `collate`, of texts that nobody has tokenized before.

    Args:
      episodes: T episodes of `sampler`.
      sampler: reads their texts.
      tokenize: `tokenized = tokenize(texts)`.
      num_classes: N, the most classes.
      num_support: S, the most support examples.
      num_queries: Q, the most queries.
      buckets: what lengths and token budgets are rounded up to.
      share: as for `collate`; all texts are read, since none is known to be short.

    Returns:
      A task of NumPy arrays, see `collate`.

    Raises:
      ValueError: as `collate`.
    """
    texts: list[str] = []

    def shown(episode: Episode, rows: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Reads rows, and says where among `texts` they are."""
        first = len(texts)
        for row, target in zip(rows.tolist(), targets.tolist(), strict=True):
            texts.append(sampler.shown(row, episode.classes[target]))
        return np.arange(first, len(texts))

    read = [
        dataclasses.replace(
            episode,
            support=shown(episode, episode.support, episode.support_targets),
            query=shown(episode, episode.query, episode.query_targets),
        )
        for episode in episodes
    ]
    return collate(
        read,
        tokenize(texts),
        num_classes=num_classes,
        num_support=num_support,
        num_queries=num_queries,
        buckets=buckets,
        share=share,
    )
