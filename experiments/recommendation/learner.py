"""Ridge regression of a user's ratings, its features and its prior meta-learned.

What the outer loop learns is what any user may be expected to say of a film, and in
which directions users differ; what a user's own ratings add has a closed form.
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
# How much the order counts beside the ratings, and what scores are multiplied by there.
ORDER, SHARPNESS = 0.3, 2.0
SIZES = (5, 10, 20)  # Ratings that a user is learned from.
KEPT = 0.8  # Share of the other users that popularity is taken of in meta-training.


class Film(NamedTuple):
    """What is known of films.

    Attributes:
      text: `[U, D]`, features of the frozen encoder.
      popularity: `[U, 3]`, see `Popularity.columns`.
    """

    text: Any
    popularity: Any


def learner(texts: np.ndarray, level: float) -> base.MetaAlgorithm:
    """Ridge regression around a prior.

    Args:
      texts: `[F, D]`, features of all films, whose directions of most variance are
        those that learning begins with.
      level: the mean of all ratings.

    Returns:
      A `MetaAlgorithm` on `Film`s.
    """
    centred = texts - texts.mean(axis=0)
    directions = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :NUM_DIRECTIONS]

    def init(key):
        del key  # Nothing is drawn.
        return {
            "level": jnp.asarray(level),
            "text": jnp.zeros(texts.shape[1]),
            "popularity": jnp.array([1.0, 0.0, 0.0]),
            "directions": jnp.asarray(SCALE * directions, jnp.float32),
            "scales": jnp.array([SCALE, 0.3, 0.3]),
        }

    def encode(params, film, key=None):
        del key
        # Where ratings say much of a film, its text says less.
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
    """Squared errors of ratings, and what their order loses of NDCG."""
    order = losses.lambda_rank(SHARPNESS * outputs, gains(targets), weights)
    return losses.squared_error(outputs, targets, weights) + ORDER * order


def ridge_around_prior() -> base.Head:
    """Ridge regression of what a prior, the first feature, leaves unexplained.

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
    """The learner, and its parameters after training on these users.

    Args:
      texts: `[F, D]`; zeros for a learner that reads no text.
      users: of meta-training.
      ratings: theirs.
      shrink: of popularity.
      config: its training and episodes.
      popular: whether films come with their popularity, or as if nobody rated them.
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
    """Users whose tasks a step takes, and others, whose ratings are popularity there.

    A user's own rating must not be in the popularity of a film. Nor may it be what all
    others leave of the whole: text tells which film it is, so that a network can learn
    the whole by heart, and take the difference. So some of the others are left out too.
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
    """A user's first ratings, and some of the later ones, filled up to given sizes."""
    num = min(int(rng.choice(SIZES)), len(user.films) - 1)
    later = num + rng.permutation(len(user.films) - num)[: sizes.queries]
    return base.Task(
        support=batch(films, user, np.arange(num), max(SIZES)),
        query=batch(films, user, later, sizes.queries),
    )


def batch(films: Film, user: User, which: np.ndarray, size: int) -> base.Batch:
    """Some of a user's ratings as a batch of a given size; weight 0 is padding."""
    filled = np.zeros(size, int)
    filled[: len(which)] = which
    rows = user.films[filled]
    inputs = Film(films.text[rows], films.popularity[rows])
    counts = (np.arange(size) < len(which)).astype(np.float32)
    return base.Batch(inputs, user.ratings[filled], counts)
