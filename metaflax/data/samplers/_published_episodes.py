"""Episodes that others have drawn, to be compared with what they published."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from metaflax import tasks
from metaflax.data.samplers._episodes import Episode, EpisodeSizes
from metaflax.data.sources._examples import Examples
from metaflax.data.sources._sources import read


class GivenEpisodes(NamedTuple):
    """A sampler of a fixed list of episodes, whatever the seed.

    Attributes:
      examples: what the episodes number.
      episodes: the list, not empty.
    """

    examples: Examples
    episodes: tuple[Episode, ...]

    @property
    def sizes(self) -> EpisodeSizes:
        """The largest of each; of classes one, where targets are none."""
        return EpisodeSizes(
            max(1, *(len(episode.classes) for episode in self.episodes)),
            max(len(episode.support) for episode in self.episodes),
            max(len(episode.query) for episode in self.episodes),
        )

    def episode(self, seed: int, index: int) -> Episode:
        """Episode `index` of the list."""
        del seed
        return self.episodes[index]


def published_sets(
    folder: str | Path,
    *,
    task: tasks.TaskType | None = None,
    num_queries: int | None = None,
) -> tuple[GivenEpisodes, tuple[int, ...]]:
    """Training sets that were published with the texts to evaluate them on.

    This is how LEOPARD has its tasks: a file `train_episodes.jsonl`, whose ids are
    `NAME-SHOT-SET-NUMBER`, and another, `eval.jsonl`.

    Args:
      folder: of the two files.
      task: its columns; classification of single texts unless given.
      num_queries: how many texts of the evaluation file, drawn once; None for all.

    Returns:
      A set an episode, in the order of the file, and how many examples a class each of
      them has.

    Raises:
      ValueError: if a file is missing or bad, or an id is none of that form.

    References:
      Bansal et al., `Learning to Few-Shot Learn Across Diverse Natural Language
      Classification Tasks <https://arxiv.org/abs/1911.03863>`_, 2020.
    """
    folder = Path(folder)
    task = task or tasks.classification()
    sets = read(folder / "train_episodes.jsonl", task=task, id="id")
    queries = read(folder / "eval.jsonl", task=task, id="id")
    if num_queries is not None and num_queries > len(queries):
        raise ValueError(
            f"{queries.name}: holds {len(queries)} texts, and {num_queries} are asked"
            " for; give a smaller num_queries."
        )
    if num_queries is not None:
        rng = np.random.default_rng(0)
        queries = queries.select(rng.choice(len(queries), num_queries, replace=False))
    for read_from in (sets, queries):
        if any(len(labels) != 1 for labels in read_from.labels):
            raise ValueError(
                f"{read_from.name}: some texts have several labels or none, where"
                " published sets give one each."
            )
    examples = dataclasses.replace(
        sets,
        texts=sets.texts + queries.texts,
        labels=sets.labels + queries.labels,
        ids=None,
    )
    classes = tuple(range(len(examples.label_names)))
    number = {name: local for local, name in enumerate(examples.label_names)}
    targets = np.array([number[label] for [label] in examples.labels], np.int32)
    query = np.arange(len(sets), len(examples), dtype=np.int32)
    episodes = tuple(
        Episode(classes, None, rows, targets[rows], query, targets[query])
        for rows in _groups(sets)
    )
    shots = tuple(len(episode.support) // len(classes) for episode in episodes)
    return GivenEpisodes(examples, episodes), shots


def _groups(sets: Examples) -> list[np.ndarray]:
    """The rows of each training set."""
    found: dict[str, list[int]] = {}
    ids: Sequence[str] = sets.ids or ()
    for row, name in enumerate(ids):
        group, dash, _ = name.rpartition("-")
        if not dash:
            raise ValueError(
                f"{sets.name}: the id {name!r} is not of the form"
                " NAME-SHOT-SET-NUMBER, which says what set a text is of."
            )
        found.setdefault(group, []).append(row)
    return [np.array(rows, np.int32) for rows in found.values()]
