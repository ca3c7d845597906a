"""Films, users with their ratings, and popularity of films."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments import common

NUM_FOLDS = 5


class User(NamedTuple):
    """A user's ratings, oldest first.

    Attributes:
      name: number of the user.
      films: `[R]`, rows in the list of films.
      ratings: `[R]`, 0.5 to 5.
    """

    name: int
    films: np.ndarray
    ratings: np.ndarray


class Popularity(NamedTuple):
    """Statistics of each film over the ratings of many users.

    Attributes:
      counts: `[F]`, number of ratings of each film.
      sums: `[F]`, sum of the ratings of each film.
      level: the mean of all ratings.
      shrink: shrinkage of a film's mean, as a number of ratings of value `level`.
    """

    counts: np.ndarray
    sums: np.ndarray
    level: float
    shrink: float

    def means(self) -> np.ndarray:
        """Computes the means of films, shrunk towards the mean of all, `[F]`."""
        return (self.sums + self.shrink * self.level) / (self.counts + self.shrink)

    def columns(self) -> np.ndarray:
        """Computes centred mean, log count and degree of shrinkage, `[F, 3]`."""
        unknown = self.shrink / (self.counts + self.shrink)
        columns = [self.means() - self.level, np.log1p(self.counts) / 4, unknown]
        return np.stack(columns, axis=1).astype(np.float32)


class Ratings(NamedTuple):
    """The ratings of users as matrices, from which popularity is computed fast.

    Attributes:
      given: `[users, F]`, ratings, 0 where there is none.
      is_given: `[users, F]`, 1 or 0.
      level: the mean of all ratings.
    """

    given: np.ndarray
    is_given: np.ndarray
    level: float

    def popularity(
        self, shrink: float, of: np.ndarray | None = None, share: float = 1.0
    ) -> Popularity:
        """Computes popularity among all users, or estimates it from a share of them."""
        counted = np.ones(len(self.given), np.float32)
        if of is not None:
            counted = np.isin(np.arange(len(self.given)), of).astype(np.float32)
        counts, sums = counted @ self.is_given, counted @ self.given
        return Popularity(counts / share, sums / share, self.level, shrink)


def read(folder: Path) -> tuple[list[str], dict[str, list[User]]]:
    """Reads texts of films (title, year, genres), and users by split."""
    films = _rows(folder / "items.jsonl")
    number = {film["id"]: row for row, film in enumerate(films)}
    users: dict[str, list[User]] = {}
    for row in _rows(folder / "users.jsonl"):
        rated = np.array([number[film] for film, _ in row["ratings"]])
        ratings = np.array([rating for _, rating in row["ratings"]], np.float32)
        users.setdefault(row["split"], []).append(User(row["user"], rated, ratings))
    texts = [". ".join([f["text"], ", ".join(f["genres"])]) for f in films]
    return texts, users


def folds(users: Mapping[str, Sequence[User]]) -> list[dict[str, list[User]]]:
    """Divides all users into splits, several times; each user is tested once.

    The first fold is the given split. The others divide its training and validation
    users into test sets, each with as many validation users as the given split.
    """
    given = {name: list(in_split) for name, in_split in users.items()}
    rng = np.random.default_rng(0)
    rest = given["train"] + given["valid"]
    parts = np.array_split(rng.permutation(len(rest)), NUM_FOLDS - 1)
    divisions = [given]
    for tested in parts:
        others = given["test"] + [
            rest[n] for n in np.setdiff1d(np.hstack(parts), tested)
        ]
        order = rng.permutation(len(others))
        valid, train = np.split(order, [len(given["valid"])])
        divisions.append(
            {
                "train": [others[n] for n in train],
                "valid": [others[n] for n in valid],
                "test": [rest[n] for n in tested],
            }
        )
    return divisions


def ratings_of(users: Sequence[User], num_films: int) -> Ratings:
    """Returns the ratings of users as matrices."""
    given = np.zeros((len(users), num_films), np.float32)
    for row, user in enumerate(users):
        given[row, user.films] = user.ratings
    is_given = (given > 0).astype(np.float32)
    return Ratings(given, is_given, float(given.sum() / is_given.sum()))


def split(user: User, size: int, start: int = 0) -> tuple[User, User]:
    """Splits a user's ratings into known and later ones."""
    name, films, ratings = user
    end = start + size
    known = User(name, films[start:end], ratings[start:end])
    return known, User(name, films[end:], ratings[end:])


def gains(ratings: Any) -> Any:
    """Computes the gain of a rating in NDCG: 2^rating - 1."""
    return 2.0**ratings - 1


def _rows(path: Path) -> list[dict]:
    if not path.is_file():
        raise ValueError(f"there is no {path}; set METAFLAX_DATA to where it lies.")
    return common.read_jsonl(path)
