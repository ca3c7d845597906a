"""Scores of users, and differences between methods."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from learner import SIZES
from methods import LIKED, Method
from users import User, gains, split

from metaflax import evaluation, metrics

NUM_BEST = 10
# Where lists begin, if there are several of a user; one of each would decide little.
STARTS = (0, 20, 40)

COUNT, POPULAR, SIMILAR = "count of ratings", "popularity", "content similarity"
FROZEN, POPULAR_HEAD = "frozen, ridge regression", "popularity, meta-trained"
TEXT, BOTH = "text, meta-trained", "text and popularity, meta-trained"
NEIGHBOURS = "neighbours by ratings"
RANKS_ONLY = (COUNT, SIMILAR)  # What they say is no rating.
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


def scored(
    method: Method,
    users: Sequence[User],
    size: int,
    among: np.ndarray,
    *,
    least: int = 1,
    skipped: int = 0,
    starts: Sequence[int] = (0,),
) -> np.ndarray:
    """`SCORES` of each user, `[users, 4]`; NaN where too few films are to be ranked.

    Args:
      method: what is scored.
      users: of whom `size` ratings are known, and the later ones are ranked.
      size: how many.
      among: `[F]`, which films are ranked.
      least: how many of a user's later films there must be.
      skipped: a user's first ratings that are not ranked, beyond those known.
      starts: where the known ratings begin; a user's score is the mean over them.
    """
    rows = np.full((len(users), len(SCORES)), np.nan)
    for row, user in enumerate(users):
        lists = []
        for start in starts:
            known, _ = split(user, size, start)
            _, later = split(user, max(size, skipped), start)
            films, ratings = (part[among[later.films]] for part in later[1:])
            if len(films) >= least:
                lists.append(list_scores(method(known)[films], ratings))
        if lists:
            rows[row] = np.mean(lists, axis=0)
    return rows


def list_scores(scores: np.ndarray, ratings: np.ndarray) -> tuple[float, ...]:
    """`SCORES` of one list."""
    return (
        metrics.ndcg_at(scores, gains(ratings), NUM_BEST),
        metrics.hit_at(scores, ratings >= LIKED, NUM_BEST),
        metrics.hit_at(scores, ratings >= LIKED, 1),
        float(np.sqrt(np.mean((scores - ratings) ** 2))),
    )


def results(
    chosen: Mapping[str, Method], users: Sequence[User], unrated: np.ndarray
) -> dict[str, Any]:
    """Means, paired differences and their 95 % intervals.

    Args:
      chosen: the methods.
      users: of meta-test.
      unrated: `[F]`, films that no training user rated, which are judged apart too.
    """
    every = np.ones_like(unrated)
    parts = {
        "all later films": {"among": every},
        "all later films, three lists a user": {"among": every, "starts": STARTS},
        "films after the 20th": {"among": every, "skipped": max(SIZES)},
        "films that no training user rated": {"among": unrated, "least": 2},
    }
    found: dict[str, Any] = {}
    for part, how in parts.items():
        found[part] = {}
        for size in SIZES:
            by_user = {n: scored(m, users, size, **how) for n, m in chosen.items()}
            there = ~np.isnan(by_user[POPULAR][:, 0])
            found[part][str(size)] = compared(
                {name: scores[there] for name, scores in by_user.items()}
            )
    return found


def compared(by_user: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Each method's scores, and differences between some, as mean and half width."""
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
