"""Accuracy by number of labels for strategies of active learning; see README.md.

    METAFLAX_DATA=DIR python experiments/suggest/run.py [--starts 20]

The encoder is frozen and encodes each text once. Every strategy begins with the same
labels, pool and test texts, and selects batches as `metaflax suggest` does.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

import numpy as np

import metaflax
from experiments import common
from metaflax import data, evaluation
from metaflax.workflows.inference._selection import Strategy, select

RANDOM = "random"
STRATEGIES = (RANDOM, *get_args(Strategy))
HEADS = ("prototypes", "logistic_regression")
ROUNDS, BATCH = 8, 10
MOST_POOL, MOST_TEST = 1000, 1000


class Texts(NamedTuple):
    """A data set.

    Attributes:
      texts: its texts, `[U]`.
      labels: label of each text, `[U]`.
      features: features of the texts, `[U, D]`.
    """

    texts: np.ndarray
    labels: np.ndarray
    features: np.ndarray


def data_sets(folder: Path) -> Iterator[tuple[str, data.Examples]]:
    """Yields intents of one domain, sentiment of news, and types of medical answers."""
    rows = data.read(folder / "clinc150" / "examples.jsonl")
    domains = json.loads(
        (folder / "clinc150" / "label_domains.json").read_text("utf-8")
    )
    banking = [i for i, (n,) in enumerate(rows.labels) if domains[n] == "banking"]
    yield "clinc150, banking", rows.select(banking)
    yield (
        "financial_phrasebank",
        data.read(folder / "financial_phrasebank" / "examples.jsonl"),
    )
    yield "medical, answers", data.read(folder / "medical" / "nih_answers.jsonl")


def encode(classifier: metaflax.FewShotClassifier, examples: data.Examples) -> Texts:
    """Encodes the texts of a data set."""
    labels = np.array([label for (label,) in examples.labels])
    features = classifier.transform(examples.texts)
    return Texts(np.array(examples.texts, object), labels, features)


def compare(
    classifier: metaflax.FewShotClassifier, texts: Texts, start: int
) -> dict[str, list[float]]:
    """Returns the accuracy of each strategy before and after each batch of labels."""
    rng = np.random.default_rng(start)
    order = rng.permutation(len(texts.labels))
    test, pool = order[:MOST_TEST], order[MOST_TEST:][:MOST_POOL]
    if len(order) < MOST_TEST + MOST_POOL:
        test, pool = np.array_split(order, 2)
    classes = np.unique(texts.labels)
    first = np.array([pool[texts.labels[pool] == name][0] for name in classes])
    return {
        strategy: label(classifier, texts, strategy, first, pool, test, start)
        for strategy in STRATEGIES
    }


def label(
    classifier: metaflax.FewShotClassifier,
    texts: Texts,
    strategy: Any,
    labelled: np.ndarray,
    pool: np.ndarray,
    test: np.ndarray,
    start: int,
) -> list[float]:
    """Labels batch by batch; returns the accuracies on the test texts."""
    rng = np.random.default_rng([start, 1])
    accuracies = []
    for number in range(ROUNDS + 1):
        classifier.fit(texts.texts[labelled], texts.labels[labelled])
        accuracies.append(classifier.score(texts.texts[test], texts.labels[test]))
        rest = np.setdiff1d(pool, labelled)
        if strategy == RANDOM:
            batch = rng.permutation(rest)[:BATCH]
        else:
            shares = classifier.predict_proba(texts.texts[rest])
            features, seed = texts.features[rest], start + number
            selected = select(shares, features, BATCH, strategy, seed=seed)
            batch = rest[[row for row, _ in selected]]
        labelled = np.concatenate([labelled, batch])
    return accuracies


def record(curves: dict[str, list[list[float]]], first: int) -> dict[str, Any]:
    """Summarises the curves of all starts, `[starts, rounds + 1]` of each strategy.

    The difference from random is in the mean over all batches, paired by start.
    """
    arrays = {strategy: np.array(curve) for strategy, curve in curves.items()}
    means = {strategy: np.mean(a[:, 1:], axis=1) for strategy, a in arrays.items()}
    strategies = {}
    for strategy, values in arrays.items():
        gain = evaluation.paired_interval(means[RANDOM], means[strategy])
        strategies[strategy] = {
            "accuracy": [round(float(mean), 4) for mean in values.mean(axis=0)],
            "over random": {"mean": gain.mean, "half_width": gain.half_width},
        }
    labels = [first + BATCH * number for number in range(ROUNDS + 1)]
    return {"labels": labels, "starts": len(values), "strategies": strategies}


def beaten(results: dict[str, Any], strategy: str) -> int:
    """Counts data sets on which the interval over random is above zero."""
    gains = [r["strategies"][strategy]["over random"] for r in results.values()]
    return sum(gain["mean"] > gain["half_width"] for gain in gains)


def summary(results: dict[str, dict[str, Any]]) -> str:
    """Formats on how many data sets each strategy beats random."""
    rows = [
        [strategy, head, beaten(results[head], strategy)]
        for strategy in STRATEGIES[1:]
        for head in HEADS
    ]
    return common.markdown_table(["strategy", "output layer", "beats random on"], rows)


def table(results: dict[str, Any]) -> str:
    """Formats accuracies (%) along the curve, and the difference from random."""
    shown = (0, 2, 4, ROUNDS)
    rows = []
    for name, result in results.items():
        for strategy, row in result["strategies"].items():
            gain = evaluation.Interval(**row["over random"])
            accuracies = [f"{100 * row['accuracy'][i]:.1f}" for i in shown]
            over = "" if strategy == RANDOM else common.percent(gain, "+", 1)
            rows.append([name, strategy, *accuracies, over])
    labels = [f"+{BATCH * i} labels" if i else "one a class" for i in shown]
    return common.markdown_table(["data", "strategy", *labels, "over random"], rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    args = parser.parse_args()
    return common.run_command(
        __file__, "suggest", lambda console: experiment(args.starts, args.out)
    )


def experiment(starts: int, out: Path) -> None:
    """Compares the strategies on all data sets; writes and prints the results."""
    classifiers = {head: metaflax.FewShotClassifier(head=head) for head in HEADS}
    results: dict[str, dict[str, Any]] = {head: {} for head in HEADS}
    for name, examples in data_sets(common.data_folder()):
        texts = encode(classifiers[HEADS[0]], examples)
        for head, classifier in classifiers.items():
            runs = [compare(classifier, texts, start) for start in range(starts)]
            curves = {s: [run[s] for run in runs] for s in STRATEGIES}
            results[head][name] = record(curves, len(np.unique(texts.labels)))
            print(head, table({name: results[head][name]}), sep="\n", flush=True)
        common.write_json(out / "results.json", results)
    print(*(table(results[head]) for head in HEADS), summary(results), sep="\n\n")


if __name__ == "__main__":
    sys.exit(main())
