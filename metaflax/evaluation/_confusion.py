"""Confusion matrices and per-class scores over episodes."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from metaflax.evaluation._bootstrap import Estimate
from metaflax.evaluation._shares import share_interval


class EpisodePredictions(NamedTuple):
    """Gold and predicted classes of one episode's queries, by name.

    Attributes:
      true: the gold class of each query.
      predicted: the predicted class of each query.
      drawn: the classes of the episode, the possible predictions.
    """

    true: Sequence[str]
    predicted: Sequence[str]
    drawn: Sequence[str]


class ConfusedPair(NamedTuple):
    """Pair of classes of which one is predicted as the other.

    Attributes:
      true: the gold class.
      predicted: the class predicted in its place.
      number: queries of `true` that were predicted as `predicted`.
      chances: queries of `true` in episodes that hold both classes.
      share: `number / chances`, with an interval over episodes.
    """

    true: str
    predicted: str
    number: int
    chances: int
    share: Estimate


def confusion_matrix(
    episodes: Iterable[EpisodePredictions], names: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Counts queries by gold and predicted class over all episodes.

    An episode holds few of the classes, so that two classes can be confused only in
    episodes with both; these chances are counted too.

    Args:
      episodes: one entry per episode.
      names: names of all N classes.

    Returns:
      `counts [N, N]`, a row per gold class and a column per predicted class, and
      `chances [N, N]`, the row's queries in episodes that hold the column's class.

    Examples:
      >>> episodes = [EpisodePredictions(["a", "b"], ["a", "a"], ["a", "b"])]
      >>> counts, chances = confusion_matrix(episodes, ["a", "b", "c"])
      >>> print(counts.tolist(), chances.tolist())
      [[1, 0, 0], [1, 0, 0], [0, 0, 0]] [[1, 1, 0], [1, 1, 0], [0, 0, 0]]
    """
    number = {name: place for place, name in enumerate(names)}
    counts = np.zeros((len(names), len(names)), np.int64)
    chances = np.zeros_like(counts)
    for true, predicted, drawn in episodes:
        rows = np.array([number[name] for name in true], np.int64)
        guesses = np.array([number[name] for name in predicted], np.int64)
        np.add.at(counts, (rows, guesses), 1)
        columns = np.array([number[name] for name in drawn], np.int64)
        np.add.at(chances, (rows[:, None], columns[None, :]), 1)
    return counts, chances


def confused_pairs(
    episodes: Sequence[EpisodePredictions], names: Sequence[str], most: int = 10
) -> list[ConfusedPair]:
    """Lists the pairs of classes that are confused most often.

    Args:
      episodes: one entry per episode.
      names: names of all classes.
      most: largest number of pairs.

    Returns:
      Pairs with any confusion, by decreasing number of queries, then share.

    Examples:
      >>> episodes = [EpisodePredictions(["a", "b"], ["a", "a"], ["a", "b"])]
      >>> [pair] = confused_pairs(episodes, ["a", "b", "c"])
      >>> print(pair.true, pair.predicted, pair.number, pair.chances, pair.share.value)
      b a 1 1 1.0
    """
    counts, chances = confusion_matrix(episodes, names)
    wrong = np.where(np.eye(len(names), dtype=bool), 0, counts)
    shares = wrong / np.maximum(chances, 1)
    order = np.lexsort((-shares.ravel(), -wrong.ravel()))[:most]
    cells = [divmod(int(place), len(names)) for place in order]
    return [
        ConfusedPair(
            names[row],
            names[column],
            int(wrong[row, column]),
            int(chances[row, column]),
            _share(episodes, names[row], names[column]),
        )
        for row, column in cells
        if wrong[row, column]
    ]


def _share(
    episodes: Sequence[EpisodePredictions], true: str, predicted: str
) -> Estimate:
    """Computes the share of chances, with an interval over episodes with any."""
    hits = [
        (
            sum(
                t == true and s == predicted
                for t, s in zip(e.true, e.predicted, strict=True)
            ),
            n,
        )
        for e in episodes
        if predicted in e.drawn and (n := sum(t == true for t in e.true))
    ]
    return share_interval(*np.transpose(hits))


def class_intervals(
    episodes: Sequence[EpisodePredictions], names: Sequence[str]
) -> dict[str, dict[str, Estimate]]:
    """Computes precision, recall and F1 of each class over all queries, with intervals.

    Args:
      episodes: one entry per episode.
      names: names of classes; classes without a query are left out.

    Returns:
      For each class `precision`, `recall` and `f1-score`, as in
      `classification_report`, with the intervals of `share_interval`. Precision is 0
      for a class that is never predicted.

    Examples:
      >>> episodes = [EpisodePredictions(["a", "b"], ["a", "a"], ["a", "b"])]
      >>> report = class_intervals(episodes, ["a", "b"])
      >>> print(report["a"]["precision"].value, report["b"]["recall"].value)
      0.5 0.0
    """
    true, predicted, hits = (np.zeros((len(episodes), len(names))) for _ in range(3))
    number = {name: place for place, name in enumerate(names)}
    for row, episode in enumerate(episodes):
        for gold, guess in zip(episode.true, episode.predicted, strict=True):
            if gold in number:
                true[row, number[gold]] += 1
                hits[row, number[gold]] += gold == guess
            if guess in number:
                predicted[row, number[guess]] += 1
    return {
        name: {
            "precision": share_interval(hits[:, n], predicted[:, n]),
            "recall": share_interval(hits[:, n], true[:, n]),
            "f1-score": share_interval(2 * hits[:, n], (true + predicted)[:, n]),
        }
        for name, n in number.items()
        if true[:, n].any()
    }
