"""LEOPARD's published training sets of SciTail as a fixed list of episodes."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from metaflax import data, tasks

SHOTS = (4, 8, 16)


class Published(NamedTuple):
    """The training sets as episodes, with queries of the evaluation file.

    Attributes:
      examples: of all training sets, then of the evaluation file.
      episodes: one a training set.
      shots: how many examples a class each of them has.
    """

    examples: data.Examples
    episodes: tuple[data.Episode, ...]
    shots: tuple[int, ...]

    @property
    def sizes(self) -> data.EpisodeSizes:
        """The largest episode."""
        support = max(len(episode.support) for episode in self.episodes)
        return data.EpisodeSizes(2, support, len(self.episodes[0].query))

    def episode(self, seed: int, index: int) -> data.Episode:
        """Training set `index`, whatever the seed."""
        del seed
        return self.episodes[index]


def read(folder: Path, num_queries: int | None = None) -> Published:
    """Reads `train_episodes.jsonl` and `eval.jsonl`.

    Args:
      folder: of the task.
      num_queries: how many of the evaluation file, drawn once; None for all.

    Returns:
      The training sets in the order of the file.
    """
    task = tasks.pair_classification()
    sets = data.read(folder / "train_episodes.jsonl", task=task, id="id")
    queries = data.read(folder / "eval.jsonl", task=task, id="id")
    if num_queries is not None:
        rng = np.random.default_rng(0)
        queries = queries.select(rng.choice(len(queries), num_queries, replace=False))
    examples = dataclasses.replace(
        sets,
        texts=sets.texts + queries.texts,
        labels=sets.labels + queries.labels,
        ids=None,
    )
    targets = np.array(
        [examples.label_names.index(label) for [label] in examples.labels], np.int32
    )
    query = np.arange(len(sets), len(examples), dtype=np.int32)
    episodes = [
        data.Episode((0, 1), None, rows, targets[rows], query, targets[query])
        for rows in _groups(sets.ids or ())
    ]
    shots = tuple(len(episode.support) // 2 for episode in episodes)
    return Published(examples, tuple(episodes), shots)


def _groups(ids: Sequence[str]) -> list[np.ndarray]:
    """The rows of each training set; an id is `scitail-SHOT-SET-NUMBER`."""
    found: dict[str, list[int]] = {}
    for row, name in enumerate(ids):
        found.setdefault(name.rpartition("-")[0], []).append(row)
    return [np.array(rows, np.int32) for rows in found.values()]
