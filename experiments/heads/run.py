"""Accuracy of output layers on a frozen encoder, and of the chosen one; see README.md.

Usage: python experiments/heads/run.py FILE [FILE ...] [--model minilm] [--shots 2 8]
    [--draws 5] [--most-classes 27] [--split-file FOLDS.json --fold 01]

A file holds labelled texts, `text` and `label`. With a split file only its test classes
are used. Support texts and queries of a draw are the same for all heads.
"""

import argparse
import contextlib
import io
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

import numpy as np

import metaflax
from experiments import common
from metaflax import data, evaluation, workflows
from metaflax.workflows.inference._head_choice import AUTO, CANDIDATES

HEADS = {"prototypes": {}, **CANDIDATES, AUTO: {}}
NUM_QUERIES = 20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, help="labelled texts")
    parser.add_argument("--model", default="minilm", help="run, name or directory")
    parser.add_argument("--shots", nargs="+", type=int, default=[2, 8])
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--most-classes", type=int, default=27)
    parser.add_argument("--split-file", type=Path)
    parser.add_argument("--fold")
    args = parser.parse_args()
    workflows.quiet_logs()
    workflows.cache_compilations()
    rows = []
    try:
        for file in args.files:
            texts = texts_of_classes(file, args.split_file, args.fold)
            for shot in args.shots:
                accuracy = compare(
                    texts, args.model, shot, args.draws, args.most_classes
                )
                rows.append([file.stem, shot, *cells(accuracy)])
                print(*rows[-1], sep=" | ", flush=True)
    except (ValueError, FileNotFoundError) as error:
        print(f"heads: {error}", file=sys.stderr)
        return 2
    print(common.markdown_table(["data", "shots", *HEADS, f"{AUTO} less means"], rows))
    return 0


def texts_of_classes(
    file: Path, split_file: Path | None, fold: str | None
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


def compare(
    texts: dict[str, list[str]], model: str, shot: int, draws: int, most_classes: int
) -> dict[str, np.ndarray]:
    """Returns the accuracy of each head on each draw, `[draws]`."""
    accuracy: dict[str, list[float]] = {head: [] for head in HEADS}
    for draw in range(draws):
        rng = np.random.default_rng(draw)
        names = rng.permutation(sorted(texts))[:most_classes]
        support, queries = [], []
        for name in names:
            order = rng.permutation(len(texts[name]))
            rows = [(texts[name][i], str(name)) for i in order]
            support += rows[:shot]
            queries += rows[shot : shot + NUM_QUERIES]
        for head, settings in HEADS.items():
            classifier = metaflax.FewShotClassifier(model, head=head, **settings)
            with contextlib.redirect_stderr(io.StringIO()):
                classifier.fit(*map(list, zip(*support, strict=True)))
            asked, labels = zip(*queries, strict=True)
            correct = classifier.predict(list(asked)) == np.array(labels)
            accuracy[head].append(float(np.mean(correct)))
    return {head: np.array(values) for head, values in accuracy.items()}


def cells(accuracy: dict[str, np.ndarray]) -> list[str]:
    """Formats the mean of each head, and the paired difference of the chosen one."""
    means = [f"{100 * np.mean(values):.1f}" for values in accuracy.values()]
    interval = evaluation.paired_interval(accuracy["prototypes"], accuracy[AUTO])
    return [*means, common.percent(interval, "+")]


if __name__ == "__main__":
    sys.exit(main())
