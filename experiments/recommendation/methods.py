"""Ways to score all films for a user of whom a few ratings are known.

A method is `scores = method(user)`, `[F]`, where `user` holds only those ratings.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import numpy as np
from learner import SIZES, Film, batch
from users import Popularity, Ratings, User

from metaflax import algorithms, base, heads, losses

Method: TypeAlias = Callable[[User], np.ndarray]

LIKED = 4.0  # A film rated so, or higher, is liked.
OFFSET = 5.0  # How many ratings at the usual level are added to a user's own.


def popular(popularity: Popularity) -> Method:
    """Mean ratings, moved by how much higher or lower the user rates than others."""
    means = popularity.means()
    return lambda user: means + offset(user, means)


def counted(popularity: Popularity) -> Method:
    """How often films were rated."""
    return lambda user: popularity.counts


def offset(user: User, means: np.ndarray) -> float:
    """How far a user's ratings lie above the means of the same films, shrunk."""
    return float(np.sum(user.ratings - means[user.films]) / (len(user.films) + OFFSET))


def similar(texts: np.ndarray, reduce: Callable[..., np.ndarray]) -> Method:
    """The cosine of a film's text to those that the user liked, their mean or most.

    Of a user who liked nothing, the films rated highest count as liked.
    """
    unit = texts / np.linalg.norm(texts, axis=1, keepdims=True)

    def scores(user: User) -> np.ndarray:
        liked = user.ratings >= min(LIKED, user.ratings.max())
        return reduce(unit @ unit[user.films[liked]].T, axis=1)

    return scores


def frozen_ridge(texts: np.ndarray, strength: float) -> Method:
    """Ridge regression on the frozen encoder's features, with nothing meta-learned."""
    algorithm = algorithms.frozen(
        lambda params, film, key=None: film.text,
        losses.squared_error,
        lambda key: {},
        head=heads.ridge_regression(strength=strength),
    )
    blank = np.zeros((len(texts), 3), np.float32)
    return adapted(algorithm, algorithm.init(jax.random.key(0)), Film(texts, blank))


def adapted(algorithm: base.MetaAlgorithm, params: Any, films: Film) -> Method:
    """Predicts ratings of all films after adaptation to the user."""

    @jax.jit
    def predict(params, support, films):
        state, _ = algorithm.adapt(params, support)
        return algorithm.predict(params, state, films)

    def scores(user: User) -> np.ndarray:
        support = batch(films, user, np.arange(len(user.films)), max(SIZES))
        return np.asarray(predict(params, support, films))

    return scores


def neighbours(
    ratings: Ratings, popularity: Popularity, damping: float, doubt: float
) -> Method:
    """Films that training users rated alike: k-nearest neighbours of items.

    What a user says of a film beyond its mean and the user's own offset is carried to
    other films by the cosine of what training users said of both.

    Args:
      ratings: of the training users.
      popularity: among them.
      damping: added to the norms, so that few common raters count for less.
      doubt: added to the sum of cosines, towards no opinion.
    """
    means = popularity.means()
    given = ratings.is_given  # [users, F]
    rest = given * (ratings.given - means)
    offsets = rest.sum(axis=1) / (given.sum(axis=1) + OFFSET)
    rest = (given * (rest - offsets[:, None])).astype(np.float32)
    squares = rest**2

    def scores(user: User) -> np.ndarray:
        seen = user.films
        norms = (squares.T @ given[:, seen]) * (given.T @ squares[:, seen])
        cosines = (rest.T @ rest[:, seen]) / (np.sqrt(norms) + damping)  # [F, S]
        above = offset(user, means)
        outputs = cosines @ (user.ratings - means[seen] - above)
        return means + above + outputs / (np.abs(cosines).sum(axis=1) + doubt)

    return scores
