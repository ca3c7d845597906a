"""Methods that score all films for a user with a few known ratings.

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

LIKED = 4.0  # Lowest rating of a film that counts as liked.
OFFSET = 5.0  # Shrinkage of a user's offset, as a number of average ratings.


def popular(popularity: Popularity) -> Method:
    """Mean ratings plus the user's offset."""
    means = popularity.means()
    return lambda user: means + offset(user, means)


def counted(popularity: Popularity) -> Method:
    """Number of ratings of each film."""
    return lambda user: popularity.counts


def offset(user: User, means: np.ndarray) -> float:
    """Computes the shrunken mean of a user's ratings minus the films' mean ratings."""
    return float(np.sum(user.ratings - means[user.films]) / (len(user.films) + OFFSET))


def similar(texts: np.ndarray, reduce: Callable[..., np.ndarray]) -> Method:
    """Mean or maximum cosine of a film's text with texts of films that the user liked.

    If a user liked no film, the films rated highest count as liked.
    """
    unit = texts / np.linalg.norm(texts, axis=1, keepdims=True)

    def scores(user: User) -> np.ndarray:
        liked = user.ratings >= min(LIKED, user.ratings.max())
        return reduce(unit @ unit[user.films[liked]].T, axis=1)

    return scores


def frozen_ridge(texts: np.ndarray, strength: float) -> Method:
    """Ridge regression on the frozen encoder's features, without meta-learning."""
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
    """Item-based collaborative filtering with nearest neighbours.

    A user's residual rating of a film, beyond its mean and the user's offset, transfers
    to other films by the cosine of the training users' residuals of both films.

    Args:
      ratings: ratings of the training users.
      popularity: popularity among the training users.
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
