"""Published episodes, for comparison with published results."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from metaflax import tasks
from metaflax._wording import counted
from metaflax.data.samplers._episodes import Episode, EpisodeSizes
from metaflax.data.sources._equal_texts import count_shared, duplicate_notes
from metaflax.data.sources._examples import Examples, listing
from metaflax.data.sources._labelled import read
from metaflax.data.sources._sources import read_rows


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

    This is the format of LEOPARD: files `train_episodes.jsonl` and `eval.jsonl`. The
    columns `shot` and `episode` of the former name a text's training set and the set's
    number of examples per class; without them its `id` does, `NAME-SHOT-SET-NUMBER`.

    Args:
      folder: folder of the two files.
      task: task type of the files; by default classification of single texts.
      num_queries: number of evaluation texts, sampled once for all sets; None for all.

    Returns:
      An episode per training set, in the order of the file, and the number of examples
      per class of each, as the file states it. Sets stay as published: notes of their
      examples count evaluation texts that are in a training set too, those whose label
      no set has, sets without examples of some class, and sets with other numbers of
      examples than stated.

    Raises:
      ValueError: if a file is missing or malformed, a row does not name its training
        set, or no evaluation text has a label of a training set.

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
    path = folder / "train_episodes.jsonl"
    sets = read(path, task=task)
    queries = read(folder / "eval.jsonl", task=task)
    shots, rows_of_sets = _training_sets(path)
    for source in (sets, queries):
        if any(len(labels) != 1 for labels in source.labels):
            raise ValueError(
                f"{source.name}: some texts have several labels or none, where"
                " published sets give one each."
            )
    _check_labels(queries, sets)
    if num_queries is not None and num_queries > len(queries):
        raise ValueError(
            f"{queries.name}: holds {len(queries)} texts, and {num_queries} are"
            " requested; give a smaller num_queries."
        )
    if num_queries is not None:
        rng = np.random.default_rng(0)
        queries = queries.select(rng.choice(len(queries), num_queries, replace=False))
    examples = dataclasses.replace(
        sets,
        texts=sets.texts + queries.texts,
        labels=sets.labels + queries.labels,
    )
    classes = tuple(range(len(examples.label_names)))
    class_of = {name: local for local, name in enumerate(examples.label_names)}
    targets = np.array([class_of[label] for [label] in examples.labels], np.int32)
    query = np.arange(len(sets), len(examples), dtype=np.int32)
    episodes = tuple(
        Episode(classes, None, rows, targets[rows], query, targets[query])
        for rows in rows_of_sets
    )
    notes = (
        *(*_notes(sets), *_notes(queries), *_shared_note(queries, sets)),
        *_unknown_label_notes(queries, sets),
        *_size_notes(sets.name, episodes, shots),
    )
    examples = dataclasses.replace(examples, notes=notes)
    return FixedEpisodes(examples, episodes), shots


def _check_labels(queries: Examples, sets: Examples) -> None:
    """Raises if no evaluation text has a label of a training set."""
    known = sets.label_names
    if not set(known).intersection(queries.label_names):
        raise ValueError(
            f"{queries.name}: no training set has the labels"
            f" {listing(queries.label_names)}; those of {sets.name} are"
            f" {listing(known)}. Write them alike."
        )


def _unknown_label_notes(queries: Examples, sets: Examples) -> list[str]:
    """Describes evaluation texts whose label no training set has."""
    known = set(sets.label_names)
    unknown = [name for name in queries.label_names if name not in known]
    if not unknown:
        return []
    number = sum(label in unknown for [label] in queries.labels)
    return [
        f"{queries.name}: {counted(number, 'text has', 'texts have')} labels of no"
        f" training set, {listing(unknown)}, and count as errors."
    ]


def _notes(examples: Examples) -> list[str]:
    """Returns the notes of a file but those of repeated texts, which sets share."""
    texts, labels = examples.texts, examples.labels
    repeated = tuple(duplicate_notes(texts, labels, examples.groups))
    return [note for note in examples.notes if not note.endswith(repeated)]


def _shared_note(queries: Examples, sets: Examples) -> list[str]:
    """Describes evaluation texts that are in training sets as well."""
    if not (num_shared := count_shared(queries.texts, sets.texts)):
        return []
    return [
        f"{queries.name}: {num_shared} of {len(queries)} evaluation texts are also in"
        f" {sets.name}, up to case and white space; scores count them."
    ]


def _size_notes(
    name: str, episodes: Sequence[Episode], shots: Sequence[int]
) -> list[str]:
    """Describes training sets without some class, or of other sizes than stated."""
    counts = [
        np.bincount(episode.support_targets, minlength=len(episode.classes))
        for episode in episodes
    ]
    num_lacking = sum(not each.all() for each in counts)
    num_other = sum(
        bool(np.any(each[each > 0] != shot))
        for each, shot in zip(counts, shots, strict=True)
    )
    notes = [
        (num_lacking, "have no example of some class, whose texts count as errors"),
        (num_other, "have other numbers of examples of a class than their shot"),
    ]
    return [
        f"{name}: {number} of {len(episodes)} training sets {what}."
        for number, what in notes
        if number
    ]


def _training_sets(path: Path) -> tuple[tuple[int, ...], list[np.ndarray]]:
    """Reads the shot of each training set, and which rows it has."""
    rows = [tasks.Fields(values, place) for place, values in read_rows(path)]
    by_columns = any(fields.has("shot") and fields.has("episode") for fields in rows)
    set_of = _set_by_columns if by_columns else _set_by_id
    groups: dict[tuple[int, str], list[int]] = {}
    for number, fields in enumerate(rows):
        groups.setdefault(set_of(fields), []).append(number)
    shots = tuple(shot for shot, _ in groups)
    return shots, [np.array(numbers, np.int32) for numbers in groups.values()]


def _set_by_columns(fields: tasks.Fields) -> tuple[int, str]:
    """Returns the shot and the name of a row's training set, from its columns."""
    shot = fields.number("shot")
    if shot < 1 or not shot.is_integer():
        problem = f"is {shot:g}; give a number of examples per class."
        raise fields.refused("shot", problem)
    return int(shot), fields.name("episode")


def _set_by_id(fields: tasks.Fields) -> tuple[int, str]:
    """Returns the shot and the name of a row's training set, from its id."""
    name, dash, _ = fields.name("id").rpartition("-")
    match name.rsplit("-", 2):
        case [_, shot, _] if dash and shot.isdecimal() and int(shot):
            return int(shot), name
    raise fields.refused(
        "id",
        f"is {fields.value('id')!r:.60}, not of the form NAME-SHOT-SET-NUMBER, which"
        " names the text's training set; or give the columns 'shot' and 'episode'.",
    )
