"""Few-shot intents of a new customer, and out-of-scope detection."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from methods import OURS, answers, frozen, percent
from rich.console import Console
from scipy import special

from experiments import common
from metaflax import config as config_lib
from metaflax import data, evaluation, metrics, workflows

RECALL = 0.95  # Share of questions in scope that the threshold accepts.


class Sizes(NamedTuple):
    """Sizes of the measurement.

    Attributes:
      customers: number of customers of test intents, and of validation intents.
      outside: number of out-of-scope questions of each customer.
    """

    customers: int = 100
    outside: int = 100


def intents(
    config: config_lib.Config,
    folder: Path,
    runs: Path,
    console: Console,
    sizes: Sizes,
) -> None:
    """Meta-trains, then measures intent accuracy and out-of-scope detection."""
    workflows.train(config, runs / "intents", console)
    valid, test = customers_of(config, folder, sizes)
    results = {}
    for name, settings in {
        "class means": frozen(config, "prototypes"),
        "logistic regression": frozen(config, "logistic_regression"),
        OURS: [None],
    }.items():
        tried = [answers(config, runs / "intents", valid, s) for s in settings]
        best = int(np.argmax([accuracy(valid, logits).mean() for logits in tried]))
        by = max(
            SCOPE_SCORES,
            key=lambda by: by_customer(
                valid, SCOPE_SCORES[by](tried[best]), metrics.auroc
            ).mean(),
        )
        threshold = threshold_for(valid, SCOPE_SCORES[by](tried[best]))
        console.print(f"{name}: setting {best + 1} of {len(tried)}, {by}")
        logits = answers(config, runs / "intents", test, settings[best])
        results[name] = measured(test, logits, SCOPE_SCORES[by](logits), threshold)
    console.print(table(results), markup=False, soft_wrap=True)
    means = {
        name: {m: evaluation.mean_interval(x)._asdict() for m, x in by_metric.items()}
        for name, by_metric in results.items()
    }
    common.write_json(runs / "intents.json", means)


def customers_of(
    config: config_lib.Config, folder: Path, sizes: Sizes
) -> tuple[data.FixedEpisodes, data.FixedEpisodes]:
    """Builds customers of validation intents and of test intents.

    Questions out of scope are those of the data set: its test split for test customers,
    the others for validation customers.
    """
    splits = workflows.load_run(config).splits
    rows = [row for _, row in data.read_rows(folder / "clinc150" / "oos.jsonl")]
    outside = {
        kind: [r["text"] for r in rows if (r["orig_split"] == "test") == kind]
        for kind in (False, True)
    }
    seed = config.evaluation.test_seed
    return (
        customers(config, splits.valid, outside[False], seed, sizes),
        customers(config, splits.test, outside[True], seed, sizes),
    )


def customers(
    config: config_lib.Config,
    examples: data.Examples,
    outside: Sequence[str],
    seed: int,
    sizes: Sizes,
) -> data.FixedEpisodes:
    """Builds episodes of the config's sizes with out-of-scope queries, of target -1."""
    requested = config.episodes
    sampler = data.EpisodeSampler(
        examples, requested.way, requested.shot, requested.queries
    )
    both = dataclasses.replace(
        examples,
        texts=(*examples.texts, *outside),
        # A name that sorts last does not change the numbers of the other classes.
        labels=(*examples.labels, *[("~",)] * len(outside)),
        ids=None,
        domains=None,
    )
    num = min(sizes.outside, len(outside))

    def episode_of(number: int) -> data.Episode:
        episode = sampler.episode(seed, number)
        rng = np.random.default_rng((seed, number))
        others = len(examples) + rng.choice(len(outside), num, replace=False)
        return dataclasses.replace(
            episode,
            query=np.concatenate([episode.query, others.astype(np.int32)]),
            query_targets=np.concatenate(
                [episode.query_targets, np.full(num, -1, np.int32)]
            ),
        )

    return data.FixedEpisodes(both, tuple(map(episode_of, range(sizes.customers))))


def targets_of(episodes: data.FixedEpisodes) -> np.ndarray:
    """Targets of all queries, `[E, Q]`; -1 out of scope."""
    return np.stack([episode.query_targets for episode in episodes.episodes])


def accuracy(episodes: data.FixedEpisodes, logits: np.ndarray) -> np.ndarray:
    """Computes the accuracy on questions in scope, by customer `[E]`."""
    targets = targets_of(episodes)
    right = logits.argmax(axis=-1) == targets
    return right.sum(axis=1) / (targets >= 0).sum(axis=1)


# Scores of being in scope, `[E, Q]`.
SCOPE_SCORES = {
    "the largest logit": lambda logits: logits.max(axis=-1),
    "the largest probability": lambda logits: metrics.softened(logits).max(axis=-1),
    "the energy": lambda logits: special.logsumexp(logits, axis=-1),
}


def by_customer(
    episodes: data.FixedEpisodes,
    scores: np.ndarray,
    metric: Callable[[np.ndarray, np.ndarray], float],
) -> np.ndarray:
    """Computes a metric of scores in scope and out of scope, by customer `[E]`."""
    both = zip(scores, targets_of(episodes) >= 0, strict=True)
    return np.array(
        [metric(values[inside], values[~inside]) for values, inside in both]
    )


def threshold_for(episodes: data.FixedEpisodes, scores: np.ndarray) -> float:
    """Returns the threshold that 95 % of the questions in scope reach."""
    return float(np.quantile(scores[targets_of(episodes) >= 0], 1 - RECALL))


def measured(
    episodes: data.FixedEpisodes,
    logits: np.ndarray,
    scores: np.ndarray,
    threshold: float,
) -> dict[str, np.ndarray]:
    """Computes the reported metrics of a method, by customer `[E]` each."""
    inside, kept = targets_of(episodes) >= 0, scores >= threshold
    return {
        "accuracy in scope": accuracy(episodes, logits),
        "AUROC": by_customer(episodes, scores, metrics.auroc),
        "FPR at 95 % recall": by_customer(episodes, scores, metrics.false_positives_at),
        "recall at the threshold": np.array(
            [k[i].mean() for k, i in zip(kept, inside, strict=True)]
        ),
        "FPR at the threshold": np.array(
            [k[~i].mean() for k, i in zip(kept, inside, strict=True)]
        ),
    }


def table(results: Mapping[str, Mapping[str, np.ndarray]]) -> str:
    """Formats means in percent, and the meta-trained model's gains, as Markdown."""
    columns = list(results[OURS])
    rows = []
    for name, by_metric in results.items():
        cells = [percent(evaluation.mean_interval(by_metric[c])) for c in columns]
        rows.append([name, *cells])
    for name, by_metric in results.items():
        if name != OURS:
            cells = [
                percent(evaluation.paired_interval(by_metric[c], results[OURS][c]), "+")
                for c in columns
            ]
            rows.append([f"{OURS} less {name}", *cells])
    return common.markdown_table(["", *columns], rows)
