"""Ridge regression of a user's ratings with meta-learned features and prior.

The outer loop learns the prior rating of a film and the directions in which users
differ; adaptation to a user's ratings has a closed form.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from users import Ratings, User, gains

import metaflax
from metaflax import base, linalg, losses, training
from metaflax import config as config_lib

NUM_DIRECTIONS, SCALE = 48, 0.3
# Weight of the ranking loss, and the factor on scores in it.
ORDER, SHARPNESS = 0.3, 2.0
SIZES = (5, 10, 20)  # Numbers of support ratings.
KEPT = 0.8  # Share of the other users whose ratings are popularity in meta-training.


class Film(NamedTuple):
    """Inputs of the learner: features and popularity of films.

    Attributes:
      text: `[U, D]`, features of the frozen encoder.
      popularity: `[U, 3]`, see `Popularity.columns`.
    """

    text: Any
    popularity: Any


def learner(texts: np.ndarray, level: float) -> base.MetaAlgorithm:
    """Ridge regression around a prior.

    Args:
      texts: `[F, D]`, features of all films, whose principal components are the initial
        directions.
      level: the mean of all ratings.

    Returns:
      A `MetaAlgorithm` on `Film`s.
    """
    centred = texts - texts.mean(axis=0)
    directions = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :NUM_DIRECTIONS]

    def init(key):
        del key  # Initialisation is deterministic.
        return {
            "level": jnp.asarray(level),
            "text": jnp.zeros(texts.shape[1]),
            "popularity": jnp.array([1.0, 0.0, 0.0]),
            "directions": jnp.asarray(SCALE * directions, jnp.float32),
            "scales": jnp.array([SCALE, 0.3, 0.3]),
        }

    def encode(params, film, key=None):
        del key
        # The more ratings a film has, the less its text counts.
        unknown = film.popularity[:, 2]
        prior = params["level"] + unknown * (film.text @ params["text"])
        prior = prior + film.popularity @ params["popularity"]
        plain = jnp.stack([jnp.ones_like(prior), *film.popularity.T[:2]], axis=1)
        taste = film.text @ params["directions"]  # [U, directions]
        return jnp.concatenate(
            [prior[:, None], plain * params["scales"][None, :], taste], axis=1
        )

    return metaflax.protonet(encode, ratings_and_order, init, head=ridge_around_prior())


def ratings_and_order(outputs, targets, weights):
    """Computes the squared error of ratings plus a ranking loss (LambdaRank)."""
    order = losses.lambda_rank(SHARPNESS * outputs, gains(targets), weights)
    return losses.squared_error(outputs, targets, weights) + ORDER * order


def ridge_around_prior() -> base.Head:
    """Ridge regression of the residuals of a prior, which is the first feature.

    With a learned prior and learned features this is Bayesian linear regression whose
    prior is meta-learned (Harrison et al., arXiv 1807.08912).
    """

    def fit(head_params, features, targets, weights):
        rest = (targets - features[:, 0])[:, None]
        strength = jnp.exp(head_params["log_strength"])
        return linalg.ridge(features[:, 1:], rest, weights, strength)  # [D, 1]

    return base.Head(
        lambda key: {"log_strength": jnp.zeros(())},
        fit,
        lambda kernel, features: features[:, 0] + (features[:, 1:] @ kernel)[:, 0],
        frozenset({"numbers"}),
    )


def meta_train(
    texts: np.ndarray,
    users: Sequence[User],
    ratings: Ratings,
    shrink: float,
    config: config_lib.Config,
    *,
    popular: bool = True,
) -> tuple[base.MetaAlgorithm, Any]:
    """Meta-trains the learner; returns it with its parameters.

    Args:
      texts: `[F, D]`; zeros for a learner without text features.
      users: users of meta-training.
      ratings: their ratings.
      shrink: shrinkage of popularity, see `Popularity`.
      config: settings of training and episodes.
      popular: whether to use popularity; otherwise films have no other ratings.
    """
    setting = config.training
    algorithm = learner(texts, ratings.level)
    rate = training.schedule(setting.schedule, setting.learning_rate, setting.steps, 0)
    optimizer = training.outer_optimizer(
        setting.optimizer,
        rate,
        weight_decay=setting.weight_decay,
        clip_norm=setting.clip_norm,
    )
    state = training.create(
        algorithm.init(jax.random.key(setting.seed)),
        optimizer,
        jax.random.key(setting.seed),
    )
    step = training.make_step(
        algorithm, optimizer, task_loop=setting.task_loop, dropout=setting.dropout
    )
    rng = np.random.default_rng(setting.seed)
    for _ in range(setting.steps):
        drawn, others = draw(rng, len(users), setting.tasks_per_step)
        others = others if popular else others[:0]
        seen = ratings.popularity(shrink, others, KEPT).columns()
        films = Film(texts, seen)
        tasks = [episode(rng, users[u], films, config.episodes) for u in drawn]
        state, _ = step(state, jax.tree.map(lambda *leaves: np.stack(leaves), *tasks))
    return algorithm, state.params


def draw(
    rng: np.random.Generator, num_users: int, num_tasks: int
) -> tuple[np.ndarray, np.ndarray]:
    """Samples users for the tasks of a step, and others whose ratings are popularity.

    A film's popularity must not contain the user's rating. Nor may it contain all other
    ratings: a network can memorise the total of each film, which it recognises by its
    text, and subtract. So some of the other users are left out too.
    """
    order = rng.permutation(num_users)
    drawn, others = order[:num_tasks], order[num_tasks:]
    return drawn, others[: int(KEPT * len(others))]


def episode(
    rng: np.random.Generator,
    user: User,
    films: Film,
    sizes: config_lib.EpisodeConfig,
) -> base.Task:
    """Builds a task: a user's first ratings, and some later ones, padded."""
    num = min(int(rng.choice(SIZES)), len(user.films) - 1)
    later = num + rng.permutation(len(user.films) - num)[: sizes.queries]
    return base.Task(
        support=batch(films, user, np.arange(num), max(SIZES)),
        query=batch(films, user, later, sizes.queries),
    )


def batch(films: Film, user: User, which: np.ndarray, size: int) -> base.Batch:
    """Collates some ratings of a user to a padded batch; padding has weight 0."""
    filled = np.zeros(size, int)
    filled[: len(which)] = which
    rows = user.films[filled]
    inputs = Film(films.text[rows], films.popularity[rows])
    counts = (np.arange(size) < len(which)).astype(np.float32)
    return base.Batch(inputs, user.ratings[filled], counts)
