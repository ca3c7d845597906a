"""Which classes are taken for which."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from metaflax.evaluation._bootstrap import Estimate
from metaflax.evaluation._shares import share_interval


class Answered(NamedTuple):
    """What was answered in one episode, in names of classes.

    Attributes:
      true: of each query its class.
      said: the class said for it, in the same order.
      drawn: all that could be said.
    """

    true: Sequence[str]
    said: Sequence[str]
    drawn: Sequence[str]


class ConfusedPair(NamedTuple):
    """How often one class is taken for another.

    Attributes:
      true: the class.
      said: what it is taken for.
      number: how many queries of the one are said to be the other.
      chances: of how many queries of the one that were asked beside the other.
      share: number of chances, with an interval over episodes.
    """

    true: str
    said: str
    number: int
    chances: int
    share: Estimate


def confusion_matrix(
    answered: Iterable[Answered], names: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Counts queries by their class and by what was said, over all episodes.

    An episode asks about few of the classes, so that a class can be taken for another
    only where both were drawn: how often it could is counted too.

    Args:
      answered: an entry an episode.
      names: of all N classes.

    Returns:
      `counts [N, N]`, a row a true class and a column what was said, and `chances
      [N, N]`, how many queries of the row's class were asked where the column's class
      could be said.

    Examples:
      >>> episodes = [Answered(["a", "b"], ["a", "a"], ["a", "b"])]
      >>> counts, chances = confusion_matrix(episodes, ["a", "b", "c"])
      >>> print(counts.tolist(), chances.tolist())
      [[1, 0, 0], [1, 0, 0], [0, 0, 0]] [[1, 1, 0], [1, 1, 0], [0, 0, 0]]
    """
    number = {name: place for place, name in enumerate(names)}
    counts = np.zeros((len(names), len(names)), np.int64)
    chances = np.zeros_like(counts)
    for true, said, drawn in answered:
        rows = np.array([number[name] for name in true], np.int64)
        answers = np.array([number[name] for name in said], np.int64)
        np.add.at(counts, (rows, answers), 1)
        columns = np.array([number[name] for name in drawn], np.int64)
        np.add.at(chances, (rows[:, None], columns[None, :]), 1)
    return counts, chances


def confused_pairs(
    answered: Sequence[Answered], names: Sequence[str], most: int = 10
) -> list[ConfusedPair]:
    """The pairs of classes that are confused most often.

    Args:
      answered: an entry an episode.
      names: of all classes.
      most: how many pairs at most.

    Returns:
      Those with any confusion, by the number of queries, the share breaking ties.

    Examples:
      >>> episodes = [Answered(["a", "b"], ["a", "a"], ["a", "b"])]
      >>> [pair] = confused_pairs(episodes, ["a", "b", "c"])
      >>> print(pair.true, pair.said, pair.number, pair.chances, pair.share.value)
      b a 1 1 1.0
    """
    counts, chances = confusion_matrix(answered, names)
    wrong = np.where(np.eye(len(names), dtype=bool), 0, counts)
    shares = wrong / np.maximum(chances, 1)
    order = np.lexsort((-shares.ravel(), -wrong.ravel()))[:most]
    chosen = [divmod(int(place), len(names)) for place in order]
    return [
        ConfusedPair(
            names[row],
            names[column],
            int(wrong[row, column]),
            int(chances[row, column]),
            _share(answered, names[row], names[column]),
        )
        for row, column in chosen
        if wrong[row, column]
    ]


def _share(answered: Sequence[Answered], true: str, said: str) -> Estimate:
    """The share of chances, its interval over the episodes that have any."""
    hits = [
        (sum(t == true and s == said for t, s in zip(e.true, e.said, strict=True)), n)
        for e in answered
        if said in e.drawn and (n := sum(t == true for t in e.true))
    ]
    return share_interval(*np.transpose(hits))


def class_intervals(
    answered: Sequence[Answered], names: Sequence[str]
) -> dict[str, dict[str, Estimate]]:
    """Precision, recall and F1 of each class over all queries, with intervals.

    Args:
      answered: an entry an episode.
      names: of classes; those that no query has are left out.

    Returns:
      For each class `precision`, `recall` and `f1-score`, as `classification_report`
      has them, with the intervals of `share_interval`. Precision is 0 where nothing is
      said to be of the class.

    Examples:
      >>> episodes = [Answered(["a", "b"], ["a", "a"], ["a", "b"])]
      >>> found = class_intervals(episodes, ["a", "b"])
      >>> print(found["a"]["precision"].value, found["b"]["recall"].value)
      0.5 0.0
    """
    true, said, hits = (np.zeros((len(answered), len(names))) for _ in range(3))
    number = {name: place for place, name in enumerate(names)}
    for row, own in enumerate(answered):
        for right, answer in zip(own.true, own.said, strict=True):
            if right in number:
                true[row, number[right]] += 1
                hits[row, number[right]] += right == answer
            if answer in number:
                said[row, number[answer]] += 1
    return {
        name: {
            "precision": share_interval(hits[:, n], said[:, n]),
            "recall": share_interval(hits[:, n], true[:, n]),
            "f1-score": share_interval(2 * hits[:, n], (true + said)[:, n]),
        }
        for name, n in number.items()
        if true[:, n].any()
    }
