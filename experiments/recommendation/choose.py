"""Selection of each method's settings on validation users."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import methods
import numpy as np
import users as users_lib
from learner import SIZES, Film, meta_train
from methods import Method
from rich.console import Console
from scores import (
    BOTH,
    COUNT,
    FROZEN,
    NEIGHBOURS,
    NUM_BEST,
    POPULAR,
    POPULAR_HEAD,
    SIMILAR,
    STARTS,
    TEXT,
)
from users import Popularity, Ratings, User, gains, split

from metaflax import config as config_lib
from metaflax import metrics

SHRINKS, RATES = (2.0, 5.0, 10.0, 20.0), (3e-4, 1e-3)
STRENGTHS = (0.3, 1.0, 3.0, 10.0)


def all_methods(
    embeddings: np.ndarray,
    kinds: np.ndarray,
    users: Mapping[str, Sequence[User]],
    config: config_lib.Config,
    console: Console,
) -> tuple[dict[str, Method], dict[str, dict[str, float]]]:
    """Returns each method with its best setting, and validation scores by setting."""
    texts = np.concatenate([embeddings, kinds], axis=1)
    features = {"embeddings": embeddings, "embeddings and kinds": texts}
    ratings = users_lib.ratings_of(users["train"], len(texts))
    popularity = {shrink: ratings.popularity(shrink) for shrink in SHRINKS}
    selected, picked = {}, {}

    def pick(name: str, settings: Mapping[Any, Callable[[], Method]]) -> Any:
        made = {setting: make() for setting, make in settings.items()}
        scores = {s: validated(method, users["valid"]) for s, method in made.items()}
        best = max(scores, key=lambda setting: scores[setting])
        selected[name] = made[best]
        picked[name] = {str(s): round(score, 4) for s, score in scores.items()}
        console.print(f"{name}: {best}, of {picked[name]}", markup=False)
        return best

    def each(make: Callable[..., Method], *grids: Sequence[Any]):
        return {s: functools.partial(make, *s) for s in itertools.product(*grids)}

    (shrink,) = pick(
        POPULAR, each(lambda shrink: methods.popular(popularity[shrink]), SHRINKS)
    )
    known = popularity[shrink]
    pick(COUNT, {"": lambda: methods.counted(known)})
    reduces = {"mean": np.mean, "most": np.max}
    pick(
        SIMILAR,
        each(lambda n, r: methods.similar(features[n], reduces[r]), features, reduces),
    )
    pick(
        FROZEN,
        each(lambda n, s: methods.frozen_ridge(features[n], s), features, STRENGTHS),
    )
    pick(
        NEIGHBOURS,
        each(
            lambda *s: methods.neighbours(ratings, known, *s), (1.0, 3.0, 10.0), (1, 3)
        ),
    )
    blind = np.zeros_like(texts)
    for name, seen, popular in (
        (TEXT, texts, False),
        (POPULAR_HEAD, blind, True),
        (BOTH, texts, True),
    ):
        make = functools.partial(
            trained, seen, users["train"], ratings, known, config, popular
        )
        pick(name, each(make, RATES))
    return selected, picked


def trained(
    texts: np.ndarray,
    users: Sequence[User],
    ratings: Ratings,
    popularity: Popularity,
    config: config_lib.Config,
    popular: bool,
    learning_rate: float,
) -> Method:
    """Meta-trains the learner at a learning rate; returns it as a method."""
    setting = dataclasses.replace(config.training, learning_rate=learning_rate)
    algorithm, params = meta_train(
        texts,
        users,
        ratings,
        popularity.shrink,
        dataclasses.replace(config, training=setting),
        popular=popular,
    )
    if not popular:
        nothing = np.zeros_like(popularity.counts)
        popularity = popularity._replace(counts=nothing, sums=nothing)
    films = Film(texts, popularity.columns())
    return methods.adapted(algorithm, params, films)


def validated(method: Method, users: Sequence[User]) -> float:
    """Computes the mean NDCG@10 of lists that begin at some of the users' ratings."""
    results = []
    for user, start, size in itertools.product(users, STARTS, SIZES):
        if len(user.films) > start + size:
            known, later = split(user, size, start)
            scores = method(known)[later.films]
            results.append(metrics.ndcg_at(scores, gains(later.ratings), NUM_BEST))
    return float(np.mean(results))
