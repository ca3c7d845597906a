"""Collates episodes whose texts are read and tokenized on demand."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from metaflax import base
from metaflax.data.batching._batching import Buckets, collate
from metaflax.data.batching._tokenize import TokenizedTexts
from metaflax.data.samplers._episodes import Episode, Sampler


class TextSampler(Sampler, Protocol):
    """Sampler that also reads the texts of its episodes."""

    def text(self, row: int, number: int) -> str:
        """Reads the text of a row as an example of class `number`."""
        ...


def collate_lazy(
    episodes: Sequence[Episode],
    sampler: TextSampler,
    tokenize: Callable[[list[str]], TokenizedTexts],
    *,
    num_classes: int,
    num_support: int,
    num_queries: int,
    buckets: Buckets | None = None,
    share: Sequence[int] | np.ndarray | None = None,
) -> base.Task:
    r"""Reads, tokenizes and collates the texts of T episodes.

    Args:
      episodes: T episodes of `sampler`.
      sampler: reads the texts of the episodes.
      tokenize: `tokenized = tokenize(texts)`.
      num_classes: N, the maximum number of classes.
      num_support: S, the maximum number of support examples.
      num_queries: Q, the maximum number of queries.
      buckets: the buckets that lengths and token budgets are rounded up to.
      share: as for `collate`; all texts are read, since shapes depend on all lengths.

    Returns:
      A task of NumPy arrays, ids `[T, S, L]` and `[T, Q, L]`, see `collate`.

    Raises:
      ValueError: as `collate`.

    Examples:
      >>> import pathlib, tempfile
      >>> import numpy as np
      >>> from metaflax import data
      >>> def of_bytes(texts):
      ...     ids = [np.frombuffer(text.encode(), np.uint8) for text in texts]
      ...     offsets = np.cumsum([0, *map(len, ids)])
      ...     return data.TokenizedTexts(np.concatenate(ids).astype(np.int32), offsets)
      >>> rows = [f"{pet},{pet} {n}" for n in range(4) for pet in ("dog", "cat")]
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = pathlib.Path(folder) / "pets.csv"
      ...     _ = path.write_text("\n".join(["label,text", *rows]))
      ...     index = data.index_labels(path, cache_dir=folder)
      ...     group = np.arange(2)
      ...     pets = data.LabelledTextSampler(index, (group,), 2, shot=1, queries=1)
      ...     task = data.collate_lazy(
      ...         [pets.episode(0, 0)], pets, of_bytes, **pets.sizes._asdict()
      ...     )
      >>> ids = task.support.inputs.ids[0]
      >>> [bytes(row[:5].astype(np.uint8)).decode() for row in ids]
      ['cat 2', 'dog 0']
    """
    texts: list[str] = []

    def read(episode: Episode, rows: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Reads rows into `texts` and returns their indices."""
        first = len(texts)
        for row, target in zip(rows.tolist(), targets.tolist(), strict=True):
            texts.append(sampler.text(row, episode.classes[target]))
        return np.arange(first, len(texts))

    renumbered = [
        dataclasses.replace(
            episode,
            support=read(episode, episode.support, episode.support_targets),
            query=read(episode, episode.query, episode.query_targets),
        )
        for episode in episodes
    ]
    return collate(
        renumbered,
        tokenize(texts),
        num_classes=num_classes,
        num_support=num_support,
        num_queries=num_queries,
        buckets=buckets,
        share=share,
    )
