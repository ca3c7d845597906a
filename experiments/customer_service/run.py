"""A customer's intents, what is out of scope, replies, and latency; see README.md.

Usage: METAFLAX_DATA=DIR python experiments/customer_service/run.py [--runs DIR]
"""

import dataclasses
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import prepare
from rich.console import Console

from metaflax import config as config_lib
from metaflax import data, evaluation, workflows
from metaflax.workflows import Setting

OURS = "meta-trained"
RECALL = 0.95  # Of questions in scope.
TURNS = (1, 3)
MOST_TOKENS = 64  # Of turns, and of a reply.


class Sizes(NamedTuple):
    """How much is measured.

    Attributes:
      customers: of test intents, and as many of validation intents to choose by.
      outside: questions out of scope that each of them is asked.
      requests: whose latency is measured, one at a time.
    """

    customers: int = 100
    outside: int = 100
    requests: int = 1000


def experiment(config: config_lib.Config, runs: Path, console: Console) -> None:
    """Trainings, and the four parts of the page."""
    folder = Path(os.environ.get("METAFLAX_DATA", "data"))
    sizes = Sizes()
    intents(config, folder, runs, console, sizes)
    latency(config, runs, console, sizes)
    for turns in TURNS:
        replies(config, folder, runs, console, turns)
    console.print(reply_table(runs), markup=False)


# Intents, and what is out of scope.


def intents(
    config: config_lib.Config,
    folder: Path,
    runs: Path,
    console: Console,
    sizes: Sizes,
) -> None:
    """One training; new customers' intents, and questions that are none of them."""
    workflows.train(config, runs / "intents", console)
    valid, test = customers_of(config, folder, sizes)
    found = {}
    for name, settings in {
        "class means": frozen(config, "prototypes"),
        "logistic regression": frozen(config, "logistic_regression"),
        OURS: [None],
    }.items():
        tried = [answers(config, runs / "intents", valid, s) for s in settings]
        best = int(np.argmax([accuracy(valid, logits).mean() for logits in tried]))
        by = max(DOUBTS, key=lambda by: auroc(valid, DOUBTS[by](tried[best])).mean())
        threshold = threshold_for(valid, DOUBTS[by](tried[best]))
        console.print(f"{name}: setting {best + 1} of {len(tried)}, {by}")
        logits = answers(config, runs / "intents", test, settings[best])
        found[name] = measured(test, logits, DOUBTS[by](logits), threshold)
    console.print(table(found), markup=False)
    means = {
        name: {m: evaluation.mean_interval(x)._asdict() for m, x in own.items()}
        for name, own in found.items()
    }
    write_json(runs / "intents.json", means)


def frozen(config: config_lib.Config, head: str) -> list[Setting | None]:
    """A head below the pretrained encoder, of several strengths where it has one."""
    strengths = (10.0, 1.0, 0.1, 0.01) if head == "logistic_regression" else (1.0,)
    return [
        *workflows.frozen_settings(
            config, pooling=("mean",), head=(head,), strength=strengths
        )
    ]


def customers_of(
    config: config_lib.Config, folder: Path, sizes: Sizes
) -> tuple[data.GivenEpisodes, data.GivenEpisodes]:
    """Customers of validation intents and of test intents.

    Questions out of scope are those of the data set: its own test questions for the
    test, the others to choose by.
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
) -> data.GivenEpisodes:
    """Episodes of the config's sizes, with queries out of scope, whose target is -1."""
    wanted = config.episodes
    sampler = data.EpisodeSampler(examples, wanted.way, wanted.shot, wanted.queries)
    both = dataclasses.replace(
        examples,
        texts=(*examples.texts, *outside),
        # A name that sorts behind all others leaves their numbers as they are.
        labels=(*examples.labels, *[("~",)] * len(outside)),
        ids=None,
        domains=None,
    )
    num = min(sizes.outside, len(outside))

    def asked(number: int) -> data.Episode:
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

    return data.GivenEpisodes(both, tuple(map(asked, range(sizes.customers))))


def answers(
    config: config_lib.Config,
    run_dir: Path,
    episodes: data.GivenEpisodes,
    setting: Setting | None,
) -> np.ndarray:
    """Logits of a baseline, or of the run, `[E, Q, N]`."""
    if setting is None:
        return workflows.score_episodes(run_dir, episodes).logits
    model, algorithm = setting
    baseline = dataclasses.replace(config, model=model, algorithm=algorithm)
    return workflows.score_pretrained(baseline, episodes).logits


def targets_of(episodes: data.GivenEpisodes) -> np.ndarray:
    """Of all queries, `[E, Q]`."""
    return np.stack([episode.query_targets for episode in episodes.episodes])


def accuracy(episodes: data.GivenEpisodes, logits: np.ndarray) -> np.ndarray:
    """On questions in scope, by customer `[E]`."""
    targets = targets_of(episodes)
    right = logits.argmax(axis=-1) == targets
    return right.sum(axis=1) / (targets >= 0).sum(axis=1)


def log_sum(logits: np.ndarray) -> np.ndarray:
    """The logarithm of the sum of powers, `[E, Q]`."""
    most = logits.max(axis=-1)
    return most + np.log(np.exp(logits - most[..., None]).sum(axis=-1))


# How much speaks for a question's being in scope, `[E, Q]`.
DOUBTS = {
    "the largest logit": lambda logits: logits.max(axis=-1),
    "the largest probability": lambda logits: logits.max(axis=-1) - log_sum(logits),
    "the energy": log_sum,
}


def auroc(episodes: data.GivenEpisodes, scores: np.ndarray) -> np.ndarray:
    """How likely a question in scope scores above one that is not, `[E]`."""
    from sklearn import metrics

    inside = targets_of(episodes) >= 0
    return np.array(
        [metrics.roc_auc_score(i, s) for i, s in zip(inside, scores, strict=True)]
    )


def let_through(episodes: data.GivenEpisodes, scores: np.ndarray) -> np.ndarray:
    """The share of questions out of scope above 95 % of the others, `[E]`."""
    from sklearn import metrics

    shares = []
    for targets, own in zip(targets_of(episodes), scores, strict=True):
        wrong, right, _ = metrics.roc_curve(targets >= 0, own)
        shares.append(wrong[np.argmax(right >= RECALL)])
    return np.array(shares)


def threshold_for(episodes: data.GivenEpisodes, scores: np.ndarray) -> float:
    """What 95 % of all questions in scope reach."""
    return float(np.quantile(scores[targets_of(episodes) >= 0], 1 - RECALL))


def measured(
    episodes: data.GivenEpisodes,
    logits: np.ndarray,
    scores: np.ndarray,
    threshold: float,
) -> dict[str, np.ndarray]:
    """What is reported of a method, by customer `[E]` each."""
    inside, kept = targets_of(episodes) >= 0, scores >= threshold
    return {
        "accuracy in scope": accuracy(episodes, logits),
        "AUROC": auroc(episodes, scores),
        "FPR at 95 % recall": let_through(episodes, scores),
        "recall at the threshold": np.array(
            [k[i].mean() for k, i in zip(kept, inside, strict=True)]
        ),
        "FPR at the threshold": np.array(
            [k[~i].mean() for k, i in zip(kept, inside, strict=True)]
        ),
    }


def table(found: Mapping[str, Mapping[str, np.ndarray]]) -> str:
    """Markdown in percent: means, and how far the meta-trained model is from others."""
    columns = list(found[OURS])
    lines = [
        "| | " + " | ".join(columns) + " |",
        "| --- " * (len(columns) + 1) + "|",
    ]
    for name, own in found.items():
        cells = [said(evaluation.mean_interval(own[c])) for c in columns]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    for name, own in found.items():
        if name != OURS:
            cells = [
                said(evaluation.paired_interval(own[c], found[OURS][c]), "+")
                for c in columns
            ]
            lines.append(f"| {OURS} less {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def said(interval: evaluation.Interval, sign: str = "") -> str:
    """A mean and its interval, in percent."""
    return f"{100 * interval.mean:{sign}.1f} ± {100 * interval.half_width:.1f}"


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", "utf-8")


# Latency.


def latency(
    config: config_lib.Config, runs: Path, console: Console, sizes: Sizes
) -> None:
    """Adapts to one customer, and asks the running model one question at a time."""
    splits = workflows.load_run(config).splits
    sizes_of = config.episodes
    sampler = data.EpisodeSampler(
        splits.test, sizes_of.way, sizes_of.shot, sizes_of.queries
    )
    episode = sampler.episode(config.evaluation.test_seed, 0)
    support, model = runs / "support.jsonl", runs / "customer"
    rows = [
        {"text": splits.test.texts[row], "label": splits.test.labels[row][0]}
        for row in episode.support
    ]
    support.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    if not model.exists():
        workflows.adapt(support, model, console, run_dir=runs / "intents")
    predictor = workflows.Predictor(model, batch_size=1)
    rng = np.random.default_rng(0)
    numbers = rng.choice(len(splits.test), sizes.requests)
    seconds = np.array(
        [*timed(predictor, [str(splits.test.texts[n]) for n in numbers])]
    )
    p50, p99 = 1000 * np.quantile(seconds, (0.5, 0.99))
    console.print(
        f"{len(seconds)} questions one at a time: p50 {p50:.1f} ms, p99 {p99:.1f} ms"
    )
    write_json(runs / "latency.json", {"p50_ms": p50, "p99_ms": p99})


def timed(predictor: workflows.Predictor, texts: Sequence[str]) -> Iterator[float]:
    """Seconds until each answer, after some that are not counted."""
    for text in (*texts[:20], "and so on " * 20):  # Compiles for long ones as well.
        predictor([text])
    for text in texts:
        began = time.perf_counter()
        predictor([text])
        yield time.perf_counter() - began


# Replies.


def replies(
    config: config_lib.Config,
    folder: Path,
    runs: Path,
    console: Console,
    turns: int,
) -> None:
    """One training; the right reply among all of an unseen domain, by three methods."""
    file = runs / f"exchanges{turns}.jsonl"
    prepare.prepare(folder, file, turns)
    config = of_exchanges(config, file, folder)
    run_dir = runs / f"replies{turns}"
    workflows.train(config, run_dir, console)
    examples = workflows.load_run(config).splits.test
    episodes = retrieval(examples)
    [setting] = frozen(config, "prototypes")
    logits = {
        "TF-IDF": by_words(episodes),
        "frozen": answers(config, run_dir, episodes, setting),
        OURS: answers(config, run_dir, episodes, None),
    }
    ranks = {name: ranks_of(episodes, found) for name, found in logits.items()}
    dialogues = [
        examples.labels[row][0].rpartition(":")[0]
        for episode in episodes.episodes
        for row in episode.query
    ]
    write_json(
        runs / f"replies{turns}.json",
        {
            "dialogues": dialogues,
            "ranks": {name: found.tolist() for name, found in ranks.items()},
        },
    )


def of_exchanges(
    config: config_lib.Config, file: Path, folder: Path
) -> config_lib.Config:
    """The config of meta-training on exchanges: a reply is one support text."""
    return dataclasses.replace(
        config,
        data=dataclasses.replace(
            config.data,
            data=str(file),
            domain="domain",
            split_by="domain",
            split_file=str(folder / "sgd_dialogue" / "splits.json"),
            fold=None,
            max_length=MOST_TOKENS,
        ),
        episodes=config_lib.EpisodeConfig(
            way=config.episodes.train_way or 40, shot=1, queries=1
        ),
        training=dataclasses.replace(
            config.training, steps=2 * config.training.steps // 3
        ),
    )


def retrieval(examples: data.Examples) -> data.GivenEpisodes:
    """For each domain all replies to choose from, and what was said before each."""
    domains = np.array(examples.domains)
    names = {name: n for n, name in enumerate(examples.label_names)}

    def of_domain(number: int) -> data.Episode:
        rows = np.flatnonzero(domains == examples.domain_names[number])
        said, replied = rows[::2].astype(np.int32), rows[1::2].astype(np.int32)
        local = np.arange(len(said), dtype=np.int32)
        return data.Episode(
            classes=tuple(names[examples.labels[row][0]] for row in said),
            domain=number,
            support=replied,
            support_targets=local,
            query=said,
            query_targets=local,
        )

    numbers = range(len(examples.domain_names))
    return data.GivenEpisodes(examples, tuple(map(of_domain, numbers)))


def by_words(episodes: data.GivenEpisodes) -> list[np.ndarray]:
    """Cosines of weighed frequencies of words, `[Q, N]` of each episode."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = episodes.examples.texts
    found = []
    for episode in episodes.episodes:
        weigh = TfidfVectorizer(sublinear_tf=True)
        replied = weigh.fit_transform([texts[row] for row in episode.support])
        said = weigh.transform([texts[row] for row in episode.query])
        found.append((said @ replied.T).toarray())
    return found


def ranks_of(
    episodes: data.GivenEpisodes, logits: Sequence[np.ndarray] | np.ndarray
) -> np.ndarray:
    """The rank of the right reply of every query, 1 for the first, `[U]`.

    Of replies that score alike the right one is ranked last.
    """
    ranks = []
    for episode, own in zip(episodes.episodes, logits, strict=True):
        scores = own[: len(episode.query), : len(episode.classes)]
        right = scores[np.arange(len(scores)), episode.query_targets]
        ranks.append((scores >= right[:, None]).sum(axis=1))
    return np.concatenate(ranks)


def reply_table(runs: Path) -> str:
    """Markdown: recall at 1 and reciprocal ranks, means over dialogues."""
    scores = {}
    for turns in TURNS:
        found = json.loads((runs / f"replies{turns}.json").read_text("utf-8"))
        for name, ranks in found["ranks"].items():
            by_rank = 1 / np.array(ranks)
            scores[turns, name] = {
                "recall@1": by_dialogue(by_rank == 1, found["dialogues"]),
                "MRR": by_dialogue(by_rank, found["dialogues"]),
            }
    lines = [
        "| turns | method | recall@1 | MRR | meta-trained less it | of MRR |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for (turns, name), own in scores.items():
        cells = [said(evaluation.mean_interval(x)) for x in own.values()]
        for metric, values in own.items():
            gain = evaluation.paired_interval(values, scores[turns, OURS][metric])
            cells.append("" if name == OURS else said(gain, "+"))
        lines.append(f"| {turns} | {name} | " + " | ".join(cells) + " |")
    first, last = (scores[turns, OURS] for turns in (TURNS[0], TURNS[-1]))
    for metric in first:
        gain = evaluation.paired_interval(first[metric], last[metric])
        lines.append(f"\n{OURS}, {metric}, {TURNS[-1]} turns less 1: {said(gain, '+')}")
    return "\n".join(lines)


def by_dialogue(values: np.ndarray, dialogues: Sequence[str]) -> np.ndarray:
    """Means of each dialogue, in the order of their names."""
    _, number = np.unique(np.array(dialogues), return_inverse=True)
    return np.bincount(number, values) / np.bincount(number)


if __name__ == "__main__":
    sys.exit(workflows.run_script(__file__, __doc__, experiment))
