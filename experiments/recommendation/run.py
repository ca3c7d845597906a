"""Meta-trains a recommender on users, and meta-tests on other users; see README.md.

Usage: METAFLAX_DATA=DIR python experiments/recommendation/run.py [--runs DIR]
"""

import dataclasses
import functools
import itertools
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import methods
import numpy as np
import users as users_lib
from learner import SIZES, Film, meta_train
from methods import LIKED, Method
from rich.console import Console
from users import Popularity, Ratings, User

from metaflax import config as config_lib
from metaflax import data, evaluation, metrics, models, workflows

NUM_BEST = 10
SHRINKS, RATES = (2.0, 5.0, 10.0, 20.0), (3e-4, 1e-3)
# Where lists of validation begin; 70 users with one list each would decide little.
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


def experiment(config: config_lib.Config, runs: Path, console: Console) -> None:
    """Chooses on validation users, scores test users, writes results and a picture."""
    began = time.perf_counter()
    texts, users = users_lib.read(Path(config.data.data).parent)
    features = embedded(texts, config)
    console.print(f"{len(texts)} films read in {time.perf_counter() - began:.0f} s")
    chosen, picked = all_methods(features, users, config, console)
    popularity = users_lib.ratings_of(users["train"], len(texts)).popularity(1.0)
    found = results(chosen, users["test"], popularity.counts == 0)
    runs.mkdir(parents=True, exist_ok=True)
    record = {"picked on validation users": picked, **found}
    (runs / "results.json").write_text(json.dumps(record, indent=1) + "\n")
    plot(runs / "result.png", found)
    console.print(tables(found), markup=False)
    console.print(explained(chosen[BOTH], users["test"][0], texts), markup=False)
    console.print(f"{time.perf_counter() - began:.0f} s in all")


def embedded(
    texts: Sequence[str], config: config_lib.Config, batch_size: int = 128
) -> np.ndarray:
    """Features of unit length of all texts, by the frozen encoder, `[F, D]`."""
    name = config.model.model
    source = data.fetch_minilm() if name == "minilm" else name
    pretrained = models.pretrained.load(source)
    encoder = models.encoder(pretrained.config, standardize=config.model.standardize)
    tokenized = data.tokenize(
        models.pretrained.tokenizer(pretrained.directory),
        texts,
        max_length=config.data.max_length,
        on_long=config.data.on_long,
    )
    apply = jax.jit(encoder.apply)
    features = np.zeros((len(texts), encoder.num_features), np.float32)
    by_length = np.argsort(tokenized.lengths, kind="stable")
    for start in range(0, len(texts), batch_size):
        rows = by_length[start : start + batch_size]
        tokens = data.collate_texts(tokenized, rows, batch_size)
        features[rows] = np.asarray(apply(pretrained.params, tokens))[: len(rows)]
    return features


# Choosing, on validation users.


def all_methods(
    texts: np.ndarray,
    users: Mapping[str, Sequence[User]],
    config: config_lib.Config,
    console: Console,
) -> tuple[dict[str, Method], dict[str, dict[str, float]]]:
    """Each method as it validates best, and what its settings validated at."""
    ratings = users_lib.ratings_of(users["train"], len(texts))
    popularity = {shrink: ratings.popularity(shrink) for shrink in SHRINKS}
    chosen, picked = {}, {}

    def pick(name: str, settings: Mapping[Any, Callable[[], Method]]) -> Any:
        made = {setting: make() for setting, make in settings.items()}
        scores = {s: validated(method, users["valid"]) for s, method in made.items()}
        best = max(scores, key=lambda setting: scores[setting])
        chosen[name] = made[best]
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
    pick(SIMILAR, each(lambda name: methods.similar(texts, reduces[name]), reduces))
    pick(FROZEN, each(lambda s: methods.frozen_ridge(texts, s), (0.1, 0.3, 1.0, 3.0)))
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
    return chosen, picked


def trained(
    texts: np.ndarray,
    users: Sequence[User],
    ratings: Ratings,
    popularity: Popularity,
    config: config_lib.Config,
    popular: bool,
    learning_rate: float,
) -> Method:
    """The learner after meta-training at a rate, as a method."""
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
    """Mean NDCG@10 of lists that begin at some of the users' ratings."""
    found = []
    for user, start, size in itertools.product(users, STARTS, SIZES):
        if len(user.films) > start + size:
            known, later = split(user, size, start)
            scores = method(known)[later.films]
            found.append(metrics.ndcg_at(scores, gains(later.ratings), NUM_BEST))
    return float(np.mean(found))


# Scores of test users.


def split(user: User, size: int, start: int = 0) -> tuple[User, User]:
    """What is known of a user, and what follows."""
    name, films, ratings = user
    end = start + size
    known = User(name, films[start:end], ratings[start:end])
    return known, User(name, films[end:], ratings[end:])


def gains(ratings: np.ndarray) -> np.ndarray:
    """What a film is worth in NDCG: 2^rating - 1."""
    return 2.0**ratings - 1


def scored(
    method: Method,
    users: Sequence[User],
    size: int,
    among: np.ndarray,
    *,
    least: int = 1,
    skipped: int = 0,
) -> np.ndarray:
    """`SCORES` of each user, `[users, 4]`; NaN where too few films are to be ranked.

    Args:
      method: what is scored.
      users: of whom `size` ratings are known, and the later ones are ranked.
      size: how many.
      among: `[F]`, which films are ranked.
      least: how many of a user's later films there must be.
      skipped: a user's first ratings that are not ranked, beyond those known.
    """
    rows = np.full((len(users), len(SCORES)), np.nan)
    for row, user in enumerate(users):
        known, _ = split(user, size)
        _, later = split(user, max(size, skipped))
        films, ratings = (part[among[later.films]] for part in later[1:])
        if len(films) < least:
            continue
        scores, liked = method(known)[films], ratings >= LIKED
        rows[row] = (
            metrics.ndcg_at(scores, gains(ratings), NUM_BEST),
            metrics.hit_at(scores, liked, NUM_BEST),
            metrics.hit_at(scores, liked, 1),
            np.sqrt(np.mean((scores - ratings) ** 2)),
        )
    return rows


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


# What is said of it.


def tables(found: Mapping[str, Any]) -> str:
    """Markdown: for each part and number of ratings, scores and differences."""
    lines = []
    for part, sizes in found.items():
        for size, content in sizes.items():
            lines += ["", f"{part}, {size} ratings, {content['users']} users", ""]
            lines += [f"| | {' | '.join(SCORES)} |", "| --- " * 5 + "|"]
            for name, cells in content["scores"].items():
                lines.append(row(name, cells, ""))
            for name, cells in content["differences"].items():
                lines.append(row(name, cells, "+"))
    return "\n".join(lines)


def row(name: str, cells: Mapping[str, Sequence[float]], sign: str) -> str:
    said = (
        f"{cells[s][0]:{sign}.3f} ± {cells[s][1]:.3f}" if s in cells else ""
        for s in SCORES
    )
    return f"| {name} | {' | '.join(said)} |"


def explained(method: Method, user: User, texts: Sequence[str], num: int = 5) -> str:
    """What a user rated first, and what is recommended of the later films."""
    known, later = split(user, 10)
    scores = method(known)[later.films]
    lines = [f"user {user.name} rated first:"]
    order = np.argsort(-known.ratings, kind="stable")
    lines += [f"  {known.ratings[n]:.1f}  {texts[known.films[n]]}" for n in order]
    lines.append(f"of {len(later.films)} later films, said and given:")
    order = np.argsort(-scores, kind="stable")
    for n in (*order[:num], *order[-2:]):
        said = f"{scores[n]:.1f}  {later.ratings[n]:.1f}"
        lines.append(f"  {said}  {texts[later.films[n]]}")
    return "\n".join(lines)


def plot(path: Path, found: Mapping[str, Any]) -> None:
    """NDCG@10 against the number of ratings, and differences between methods."""
    from matplotlib import figure

    sizes = found["all later films"]
    picture = figure.Figure(figsize=(10, 4.2), layout="constrained")
    left, right = picture.subplots(1, 2)
    shown = (BOTH, POPULAR, NEIGHBOURS, TEXT, FROZEN, SIMILAR)
    parts = (
        (left, "scores", {name: name for name in shown}, 0.25),
        (
            right,
            "differences",
            {
                f"{one} less {other}": f"{one.split(',')[0]} less {other}"
                for one, other in PAIRS
                if (one, other) not in ((BOTH, POPULAR_HEAD), (TEXT, POPULAR))
            },
            0.15,
        ),
    )
    for axes, part, names, apart in parts:
        for place, (name, label) in enumerate(names.items()):
            cells = [content[part][name]["NDCG@10"] for content in sizes.values()]
            shift = apart * (place - len(names) / 2)
            axes.errorbar(
                [int(size) + shift for size in sizes],
                [mean for mean, _ in cells],
                yerr=[width for _, width in cells],
                fmt="o-",
                ms=4,
                lw=1,
                capsize=3,
                label=label,
            )
        axes.set(xlabel="ratings known of a user", xticks=[int(s) for s in sizes])
        axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.15))
    left.set_ylabel("NDCG@10, 95 % interval")
    right.set_ylabel("paired difference of NDCG@10")
    right.axhline(0, color="0.6", lw=1)
    picture.savefig(path, dpi=120)


if __name__ == "__main__":
    sys.exit(workflows.run_script(__file__, __doc__, experiment))
