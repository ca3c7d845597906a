"""Scores of users, and differences between methods."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from learner import SIZES
from methods import LIKED, Method
from users import User, gains, split

from metaflax import evaluation, metrics

NUM_BEST = 10
# Starts of lists, where a user has several; a single one has a large variance.
STARTS = (0, 20, 40)

COUNT, POPULAR, SIMILAR = "count of ratings", "popularity", "content similarity"
FROZEN, POPULAR_HEAD = "frozen, ridge regression", "popularity, meta-trained"
TEXT, BOTH = "text, meta-trained", "text and popularity, meta-trained"
NEIGHBOURS = "neighbours by ratings"
RANKS_ONLY = (COUNT, SIMILAR)  # Their scores are not ratings.
PAIRS = (
    (BOTH, POPULAR),
    (BOTH, POPULAR_HEAD),
    (BOTH, TEXT),
    (BOTH, NEIGHBOURS),
    (TEXT, SIMILAR),
    (TEXT, FROZEN),
    (TEXT, POPULAR),
)
SCORES = ("NDCG@10", "hit@10", "hit@1", "RMSE")


class Part(NamedTuple):
    """Some of the films that a user rated later, as lists to be ranked.

    Attributes:
      among: `[F]`, which films are ranked.
      starts: positions of the first known rating; a user's score is the mean over them.
      least: minimum number of films of a list.
      skipped: number of ratings from the start on that are never ranked.
    """

    among: np.ndarray
    starts: Sequence[int] = (0,)
    least: int = 1
    skipped: int = 0


def parts_of(unrated: np.ndarray) -> dict[str, Part]:
    """Returns the evaluated parts by name; `unrated` films have no training ratings."""
    every = np.ones_like(unrated)
    return {
        "all later films": Part(every),
        "all later films, three lists a user": Part(every, starts=STARTS),
        "films after the 20th": Part(every, skipped=max(SIZES)),
        "films that no training user rated": Part(unrated, least=2),
    }


def scored(
    method: Method, users: Sequence[User], size: int, parts: Mapping[str, Part]
) -> dict[str, np.ndarray]:
    """Computes `SCORES` of each user by part, `[users, 4]`; NaN without films to rank.

    Args:
      method: the method to score.
      users: users with `size` known ratings; films rated later are ranked.
      size: number of known ratings.
      parts: parts of the later ratings.
    """
    rows = {name: np.full((len(users), len(SCORES)), np.nan) for name in parts}
    starts = sorted({start for part in parts.values() for start in part.starts})
    for row, user in enumerate(users):
        lists: dict[str, list[tuple[float, ...]]] = {name: [] for name in parts}
        for start in starts:
            if len(user.films) <= start + size:
                continue
            known, _ = split(user, size, start)
            outputs = method(known)  # The same for all parts.
            for name, part in parts.items():
                _, later = split(user, max(size, part.skipped), start)
                films, ratings = (x[part.among[later.films]] for x in later[1:])
                if start in part.starts and len(films) >= part.least:
                    lists[name].append(list_scores(outputs[films], ratings))
        for name, scores in lists.items():
            if scores:
                rows[name][row] = np.mean(scores, axis=0)
    return rows


def list_scores(scores: np.ndarray, ratings: np.ndarray) -> tuple[float, ...]:
    """Computes `SCORES` of one list."""
    return (
        metrics.ndcg_at(scores, gains(ratings), NUM_BEST),
        metrics.hit_at(scores, ratings >= LIKED, NUM_BEST),
        metrics.hit_at(scores, ratings >= LIKED, 1),
        float(np.sqrt(np.mean((scores - ratings) ** 2))),
    )


# Scores `[users, 4]` by part, number of known ratings and method.
ByUser: TypeAlias = dict[str, dict[str, dict[str, np.ndarray]]]


def by_user(
    selected: Mapping[str, Method], users: Sequence[User], unrated: np.ndarray
) -> ByUser:
    """Computes the scores of each user.

    Args:
      selected: the methods by name.
      users: users of meta-test.
      unrated: `[F]`, films that no training user rated, which are a separate part too.
    """
    parts = parts_of(unrated)
    collected: ByUser = {name: {str(size): {} for size in SIZES} for name in parts}
    for size, (name, method) in itertools.product(SIZES, selected.items()):
        for part, rows in scored(method, users, size, parts).items():
            collected[part][str(size)][name] = rows
    return collected


def changed(by_user: Any, change: Callable[[Any], Any]) -> Any:
    """Applies `change` to each array."""
    return {
        part: {
            size: {name: change(rows) for name, rows in methods.items()}
            for size, methods in sizes.items()
        }
        for part, sizes in by_user.items()
    }


def results(folds: Sequence[ByUser]) -> dict[str, Any]:
    """Computes means over users of all folds, paired differences and 95 % intervals."""
    collected: dict[str, Any] = {}
    for part, sizes in folds[0].items():
        collected[part] = {}
        for size, methods in sizes.items():
            every = {
                name: np.concatenate([fold[part][size][name] for fold in folds])
                for name in methods
            }
            there = ~np.isnan(every[POPULAR][:, 0])
            collected[part][size] = compared(
                {name: scores[there] for name, scores in every.items()}
            )
    return collected


def compared(by_user: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Computes mean and half width of scores, and of differences between methods."""
    means = {
        name: {
            score: rounded(evaluation.mean_interval(scores[:, column]))
            for column, score in enumerate(SCORES)
            if score != "RMSE" or name not in RANKS_ONLY
        }
        for name, scores in by_user.items()
    }
    less = {
        f"{one} less {other}": {
            score: rounded(
                evaluation.paired_interval(
                    by_user[other][:, column], by_user[one][:, column]
                )
            )
            for column, score in enumerate(SCORES)
            if score != "RMSE" or other not in RANKS_ONLY
        }
        for one, other in PAIRS
    }
    return {"users": len(by_user[POPULAR]), "scores": means, "differences": less}


def rounded(interval: evaluation.Interval) -> list[float]:
    return [round(interval.mean, 4), round(interval.half_width, 4)]
