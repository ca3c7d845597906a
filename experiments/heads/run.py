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
from metaflax import data, workflows
from metaflax.workflows.learning._head_choice import AUTO, CANDIDATES

# Linear heads that `adapt` fits without meta-training, with strengths selected on
# validation classes.
HEADS: dict[str, dict[str, Any]] = {
    "prototypes": {},
    "centred_prototypes": {},
    "ridge": {},
    "unbalanced_ridge": {},
    "logistic_regression": {},
    "unbalanced_logistic_regression": {},
    **CANDIDATES,
    AUTO: {},
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
    parser.add_argument("--model", default="minilm", help="run, name or directory")
    parser.add_argument("--shots", nargs="+", type=int)
    parser.add_argument("--heads", nargs="+", help="others keep their results")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--most-classes", type=int, default=27)
    parser.add_argument("--split-file", type=Path)
    parser.add_argument("--fold")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    args = parser.parse_args()
    workflows.prepare_process()
    file = args.out / "results.json"
    compared = methods(args.model)
    known = json.loads(file.read_text()) if args.heads and not args.files else {}
    results: dict[str, Any] = {}
    try:
        if unknown := {*(args.heads or ())} - {*compared}:
            raise ValueError(f"no head {min(unknown)!r}; take {', '.join(compared)}.")
        measured = {name: compared[name] for name in args.heads or compared}
        sets = (
            (
                (f.stem, texts_of_classes(f, args.split_file, args.fold))
                for f in args.files
            )
            if args.files
            else data_sets(common.data_folder())
        )
        for name, texts in sets:
            results[name] = {}
            for shot in args.shots or SHOTS:
                scores = compare(
                    texts, measured, args.model, shot, args.draws, args.most_classes
                )
                scores = known.get(name, {}).get(str(shot), {}) | scores
                results[name][str(shot)] = {
                    n: scores[n] for n in compared if n in scores
                }
                print(name, shot, file=sys.stderr, flush=True)
        if not args.files:
            common.write_json(file, results)
    except (ValueError, FileNotFoundError) as error:
        print(f"heads: {error}", file=sys.stderr)
        return 2
    print(*tables(results).values(), sep="\n\n")
    if not args.files:
        (args.out / "recommendation.md").write_text(recommendation(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
