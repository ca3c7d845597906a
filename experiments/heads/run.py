"""Accuracy of heads on a frozen encoder, and of the selected one; see README.md.

    METAFLAX_DATA=DIR python experiments/heads/run.py

writes results.json and recommendation.md; with `--heads auto ridge` it measures these
alone, on the same draws, and leaves the others as they are. Any labelled files, with
columns `text` and `label`, are compared by their paths and printed:

    python experiments/heads/run.py FILE [FILE ...] [--model minilm] [--shots 2 8]
        [--draws 20] [--most-classes 27] [--split-file FOLDS.json --fold 01]

With a split file only its test classes are used. Support texts and queries of a draw
are the same for all heads.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

import numpy as np
from sklearn.linear_model import LogisticRegression

import metaflax
from experiments import common
from experiments.heads.draws import AS_FREQUENT, UNEQUAL, Draw, draw
from experiments.heads.tables import recommendation, tables
from metaflax import data

HERE = Path(__file__).parent
# Encoder of the results in this folder.
MODEL = "minilm"
# Linear heads that `adapt` fits without meta-training, with strengths selected on
# validation classes.
HEADS: dict[str, dict[str, Any]] = {
    "prototypes": {},
    "centred_prototypes": {},
    "ridge": {},
    "unbalanced_ridge": {},
    "logistic_regression": {},
    "unbalanced_logistic_regression": {},
    "gaussian": {"strength": 3.0},
    "centred_logistic_regression": {"strength": 0.1},
    "auto": {},
    "soft_k_means": {},
    "label_propagation": {},
}
# Peers, fitted to features of the same encoder.
PEERS: dict[str, dict[str, Any]] = {
    "scikit-learn": {},
    "scikit-learn, balanced": {"class_weight": "balanced"},
}
SHOTS = (1, 2, 5, 8, UNEQUAL, AS_FREQUENT)


def data_sets(folder: Path) -> Iterator[tuple[str, dict[str, list[str]]]]:
    """Yields test classes of intents, symptoms and sentiment of financial news."""
    clinc = folder / "clinc150"
    yield (
        "intents",
        texts_of_classes(clinc / "examples.jsonl", clinc / "folds.json", "01"),
    )
    yield "symptoms", texts_of_classes(folder / "medical" / "symptoms.jsonl")
    phrasebank = folder / "financial_phrasebank" / "examples.jsonl"
    yield "sentiment", texts_of_classes(phrasebank)


def texts_of_classes(
    file: Path, split_file: Path | None = None, fold: str | None = None
) -> dict[str, list[str]]:
    """Texts by class, of the test classes of a split file if there is one."""
    examples = data.read(file)
    if split_file is not None:
        examples = data.split_by_file(examples, split_file, fold).test
    texts: dict[str, list[str]] = {}
    for text, labels in zip(examples.texts, examples.labels, strict=True):
        for label in labels:
            texts.setdefault(label, []).append(text)
    return texts


def predicted_by_head(
    model: str, head: str, settings: dict[str, Any], task: Draw
) -> tuple[np.ndarray, float]:
    """Returns the predictions of a head, and the seconds that its `fit` took."""
    classifier = metaflax.FewShotClassifier(model, head=head, **settings)
    unlabelled = task.queries if common.takes_unlabelled(head) else None
    begun = time.perf_counter()
    classifier.fit(task.support, task.labels, unlabelled)
    seconds = time.perf_counter() - begun
    return classifier.predict(task.queries), seconds


def predicted_by_peer(
    model: str, settings: dict[str, Any], task: Draw
) -> tuple[np.ndarray, float]:
    """Returns the predictions of scikit-learn on the same features, and seconds."""
    encoder = metaflax.FewShotClassifier(model)
    support = encoder.transform(task.support)
    begun = time.perf_counter()
    peer = LogisticRegression(max_iter=1000, **settings).fit(support, task.labels)
    seconds = time.perf_counter() - begun
    return peer.predict(encoder.transform(task.queries)), seconds


def methods(model: str) -> dict[str, Callable[[Draw], tuple[np.ndarray, float]]]:
    """Returns all heads and peers by name."""
    heads = {
        head: (lambda task, h=head, s=settings: predicted_by_head(model, h, s, task))
        for head, settings in HEADS.items()
    }
    peers = {
        name: (lambda task, s=settings: predicted_by_peer(model, s, task))
        for name, settings in PEERS.items()
    }
    return {**heads, **peers}


def compare(
    texts: dict[str, list[str]],
    compared: dict[str, Callable[[Draw], tuple[np.ndarray, float]]],
    model: str,
    shot: int | str,
    draws: int,
    most_classes: int,
) -> dict[str, dict[str, list[float]]]:
    """Returns accuracy, mean recall and seconds to fit of each method on each draw."""
    scores: dict[str, dict[str, list[float]]] = {
        name: {"accuracy": [], "recall": [], "seconds": []} for name in compared
    }
    for seed in range(draws):
        task = draw(texts, shot, seed, most_classes)
        # Encodes all texts; this counts for no method's time.
        first = metaflax.FewShotClassifier(model, head="prototypes")
        first.fit(task.support, task.labels).predict(task.queries)
        targets = np.array(task.targets)
        for name, predicted in compared.items():
            labels, seconds = predicted(task)
            correct = labels == targets
            recalls = [np.mean(correct[targets == n]) for n in np.unique(targets)]
            scores[name]["accuracy"].append(round(float(np.mean(correct)), 6))
            scores[name]["recall"].append(round(float(np.mean(recalls)), 6))
            scores[name]["seconds"].append(round(seconds, 5))
    return scores


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, help="labelled texts")
    parser.add_argument("--model", default=MODEL, help="run, name or directory")
    parser.add_argument("--shots", nargs="+", type=int)
    parser.add_argument("--heads", nargs="+", help="others keep their results")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--most-classes", type=int, default=27)
    parser.add_argument("--split-file", type=Path)
    parser.add_argument("--fold")
    parser.add_argument("--out", type=Path, default=HERE)
    args = parser.parse_args()
    measured = of_files if args.files else of_data_sets
    return common.run_command(__file__, "heads", lambda console: measured(args))


def of_files(args: argparse.Namespace) -> None:
    """Prints the scores on labelled files."""
    measured = {
        file.stem: by_shot(
            file.stem, texts_of_classes(file, args.split_file, args.fold), args
        )
        for file in args.files
    }
    print(*tables(measured).values(), sep="\n\n")


def of_data_sets(args: argparse.Namespace) -> None:
    """Prints and writes the scores on the data sets of this experiment."""
    if args.model != MODEL and args.out == HERE:
        raise ValueError(
            f"the results in {HERE} are of {MODEL}; name another folder with --out for"
            f" those of {args.model}."
        )
    file = args.out / "results.json"
    known = json.loads(file.read_text()) if args.heads and file.is_file() else {}
    results: dict[str, Any] = {}
    for name, texts in data_sets(common.data_folder()):
        results[name] = {
            shot: in_order(known.get(name, {}).get(shot, {}) | scores)
            for shot, scores in by_shot(name, texts, args).items()
        }
    common.write_json(file, results)
    print(*tables(results).values(), sep="\n\n")
    first = next(iter(results["intents"].values()))
    if len(first) == len(HEADS) + len(PEERS):  # It recommends one of all methods.
        (args.out / "recommendation.md").write_text(recommendation(results))


def by_shot(
    name: str, texts: dict[str, list[str]], args: argparse.Namespace
) -> dict[str, Any]:
    """Returns the scores of the named heads, or of all, by number of texts."""
    compared = methods(args.model)
    if unknown := {*(args.heads or ())} - {*compared}:
        raise ValueError(f"no head {min(unknown)!r}; take {', '.join(compared)}.")
    measured = {head: compared[head] for head in args.heads or compared}
    scores = {}
    for shot in args.shots or SHOTS:
        scores[str(shot)] = compare(
            texts, measured, args.model, shot, args.draws, args.most_classes
        )
        print(name, shot, file=sys.stderr, flush=True)
    return scores


def in_order(scores: dict[str, Any]) -> dict[str, Any]:
    """Sorts scores of methods by the order of all methods."""
    return {name: scores[name] for name in (*HEADS, *PEERS) if name in scores}


if __name__ == "__main__":
    sys.exit(main())
