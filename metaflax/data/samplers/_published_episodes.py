"""Published episodes, for comparison with published results."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from metaflax import tasks
from metaflax.data.samplers._episodes import Episode, EpisodeSizes
from metaflax.data.sources._equal_texts import count_shared
from metaflax.data.sources._examples import Examples
from metaflax.data.sources._sources import read


class FixedEpisodes(NamedTuple):
    """Sampler of a fixed list of episodes, which ignores the seed.

    Attributes:
      examples: the examples that the episodes index.
      episodes: the list, not empty.

    Examples:
      >>> from metaflax import data
      >>> pets = data.Examples(
      ...     "pets",
      ...     texts=("it barks", "it wags", "it purrs", "it meows"),
      ...     labels=(("dog",), ("dog",), ("cat",), ("cat",)),
      ... )
      >>> sampler = data.EpisodeSampler(pets, way=2, shot=1, queries=1)
      >>> fixed = data.FixedEpisodes(pets, data.fixed_list(sampler, seed=0, num=3))
      >>> fixed.sizes
      EpisodeSizes(num_classes=2, num_support=2, num_queries=2)
      >>> fixed.episode(1, 2) is fixed.episode(7, 2)  # Whatever the seed.
      True
    """

    examples: Examples
    episodes: tuple[Episode, ...]

    @property
    def sizes(self) -> EpisodeSizes:
        """Maximum sizes of the episodes, with at least one class."""
        return EpisodeSizes(
            max(1, *(len(episode.classes) for episode in self.episodes)),
            max(len(episode.support) for episode in self.episodes),
            max(len(episode.query) for episode in self.episodes),
        )

    def episode(self, seed: int, index: int) -> Episode:
        """Returns episode `index` of the list."""
        del seed
        return self.episodes[index]


def published_sets(
    folder: str | Path,
    *,
    task: tasks.TaskType | None = None,
    num_queries: int | None = None,
) -> tuple[FixedEpisodes, tuple[int, ...]]:
    r"""Reads published training sets and their evaluation texts.

    This is the format of LEOPARD: a file `train_episodes.jsonl`, whose ids are
    `NAME-SHOT-SET-NUMBER`, and a file `eval.jsonl`.

    Args:
      folder: folder of the two files.
      task: task type of the files; by default classification of single texts.
      num_queries: number of evaluation texts, sampled once for all sets; None for all.

    Returns:
      An episode per training set, in the order of the file, and the number of examples
      per class of each. They stay as published: a note of their examples counts
      evaluation texts that are in a training set too.

    Raises:
      ValueError: if a file is missing or malformed, or an id has another form.

    Examples:
      >>> import json, pathlib, tempfile
      >>> from metaflax import data
      >>> def lines(*rows):
      ...     return "".join(json.dumps(row) + "\n" for row in rows)
      >>> dog = {"id": "pets-1-0-0", "text": "it barks", "label": "dog"}
      >>> cat = {"id": "pets-1-0-1", "text": "it purrs", "label": "cat"}
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     files = pathlib.Path(folder)
      ...     _ = (files / "train_episodes.jsonl").write_text(lines(dog, cat))
      ...     _ = (files / "eval.jsonl").write_text(lines({**dog, "text": "it wags"}))
      ...     sets, shots = data.published_sets(folder)
      >>> shots, sets.episode(0, 0).support, sets.examples.texts
      ((1,), array([0, 1], dtype=int32), ('it barks', 'it purrs', 'it wags'))

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
            f"{queries.name}: holds {len(queries)} texts, and {num_queries} are"
            " requested; give a smaller num_queries."
        )
    if num_queries is not None:
        rng = np.random.default_rng(0)
        queries = queries.select(rng.choice(len(queries), num_queries, replace=False))
    for source in (sets, queries):
        if any(len(labels) != 1 for labels in source.labels):
            raise ValueError(
                f"{source.name}: some texts have several labels or none, where"
                " published sets give one each."
            )
    examples = dataclasses.replace(
        sets,
        texts=sets.texts + queries.texts,
        labels=sets.labels + queries.labels,
        ids=None,
        notes=(*sets.notes, *queries.notes, *_shared_note(queries, sets)),
    )
    classes = tuple(range(len(examples.label_names)))
    class_of = {name: local for local, name in enumerate(examples.label_names)}
    targets = np.array([class_of[label] for [label] in examples.labels], np.int32)
    query = np.arange(len(sets), len(examples), dtype=np.int32)
    episodes = tuple(
        Episode(classes, None, rows, targets[rows], query, targets[query])
        for rows in _groups(sets)
    )
    shots = tuple(len(episode.support) // len(classes) for episode in episodes)
    return FixedEpisodes(examples, episodes), shots


def _shared_note(queries: Examples, sets: Examples) -> list[str]:
    """Describes evaluation texts that are in training sets as well."""
    if not (num_shared := count_shared(queries.texts, sets.texts)):
        return []
    return [
        f"{queries.name}: {num_shared} of {len(queries)} evaluation texts are also in"
        f" {sets.name}, up to case and white space; scores count them."
    ]


def _groups(sets: Examples) -> list[np.ndarray]:
    """Groups the rows by training set."""
    groups: dict[str, list[int]] = {}
    ids: Sequence[str] = sets.ids or ()
    for row, name in enumerate(ids):
        group, dash, _ = name.rpartition("-")
        if not dash:
            raise ValueError(
                f"{sets.name}: the id {name!r} is not of the form"
                " NAME-SHOT-SET-NUMBER, which names the text's training set."
            )
        groups.setdefault(group, []).append(row)
    return [np.array(rows, np.int32) for rows in groups.values()]
