"""Accuracy of a frozen encoder on published training sets; see README.md.

Usage: python experiments/leopard/run.py FOLDER [FOLDER ...] [--model minilm]
    [--start minilm] [--heads prototypes auto ...] [--pair-encodings two_towers ...]
    [--out DIR]

A folder holds `train_episodes.jsonl` and `eval.jsonl` in the format of LEOPARD; pairs
have a column `text_pair`. Heads are those of `adapt`; `soft_k_means` and
`label_propagation` also learn from the evaluation texts without their labels. Unless
they are named, heads are class means, about their centre where pairs are encoded in two
towers, and a pair is a text and its phrase where most second texts occur in the first,
and two towers otherwise. A finished score is not computed again, so that the
command may be interrupted.
"""

import argparse
import contextlib
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias, TypeVar

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

import numpy as np

import metaflax
from experiments import common
from metaflax import config as config_lib
from metaflax import data, evaluation, workflows

T = TypeVar("T")
Results: TypeAlias = dict[tuple[str, ...], dict[str, T]]
"""By task, pair encoding and head, and by number of shots."""

# Transductive heads, which also learn from the evaluation texts without labels.
TRANSDUCTIVE = ("soft_k_means", "label_propagation")
MAX_LENGTH = 256


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path, help="each holds one task")
    parser.add_argument("--model", default="minilm", help="name or directory")
    parser.add_argument("--start", help="another model, to compare with")
    parser.add_argument("--heads", nargs="+", help="default: class means")
    parser.add_argument("--pair-encodings", nargs="+")
    parser.add_argument("--out", type=Path, default=Path("runs/leopard"))
    args = parser.parse_args()
    workflows.prepare_process()
    try:
        results = scores_of(args.model, args)
        start = scores_of(args.start, args) if args.start else {}
    except (FileNotFoundError, NotADirectoryError) as error:
        advice = "name folders that hold train_episodes.jsonl and eval.jsonl"
        print(f"leopard: there is no {error.filename}; {advice}.", file=sys.stderr)
        return 2
    except ValueError as error:
        print(f"leopard: {error}", file=sys.stderr)
        return 2
    print(table(results, mean_and_std))
    if start:
        gains = {
            names: {
                shot: evaluation.paired_interval(
                    np.array(start[names][shot]), np.array(accuracy)
                )
                for shot, accuracy in by_shot.items()
            }
            for names, by_shot in results.items()
        }
        print(f"\nThe same less {args.start}, paired by training set:\n")
        print(table(gains, lambda gain: common.percent(gain, "+", 1)))
    return 0


def scores_of(model: str, args: argparse.Namespace) -> Results[list[float]]:
    """Scores a model on all tasks, or reads the scores that exist."""
    folder_of_model = args.out / "-".join(Path(model).parts).strip("/-")
    results: Results[list[float]] = {}
    for folder in args.folders:
        usual = pair_encoding(folder)
        encodings = (args.pair_encodings or [usual]) if usual else [""]
        ways = [
            (encoding, head)
            for encoding in encodings
            for head in args.heads or [usual_head(encoding)]
        ]
        for encoding, head in ways:
            name = "-".join(filter(None, (folder.name, encoding, head)))
            path = folder_of_model / f"{name}.json"
            if not path.exists():
                common.write_json(path, score(folder, model, head, encoding))
            results[folder.name, encoding, head] = json.loads(path.read_text())
    return results


def pair_encoding(folder: Path) -> str:
    """Returns the encoding that suits the pairs of a folder, empty for single texts."""
    rows = [*common.read_jsonl(folder / "eval.jsonl")]
    if "text_pair" not in rows[0]:
        return ""
    occurs = [row["text_pair"].lower() in row["text"].lower() for row in rows]
    return "phrase" if np.mean(occurs) > 0.5 else "two_towers"


def usual_head(encoding: str) -> str:
    """Returns the default head: class means, centred for pairs in two towers.

    Without centring, features that all pairs share dominate; see README.md.
    """
    return "centred_prototypes" if encoding == "two_towers" else "prototypes"


def score(folder: Path, model: str, head: str, encoding: str) -> dict[int, list]:
    """Returns the accuracy on each training set, by shot."""
    kind = "pair_classification" if encoding else "classification"
    task = config_lib.build_task(
        config_lib.Config(data=config_lib.DataConfig(task=kind))
    )
    given, shots = data.published_sets(folder, task=task)
    classifier = metaflax.FewShotClassifier(
        model, head=head, max_length=MAX_LENGTH, pair_encoding=encoding or None
    )
    texts, labels = given.examples.texts, given.examples.labels
    scores: dict[int, list] = {shot: [] for shot in sorted(set(shots))}
    for shot, episode in zip(shots, given.episodes, strict=True):
        rows_of = episode.support, episode.query
        support, queries = ([texts[n] for n in rows] for rows in rows_of)
        targets, gold = ([labels[n][0] for n in rows] for rows in rows_of)
        # Other heads learn nothing from texts without labels.
        unlabelled = queries if head in TRANSDUCTIVE else None
        with contextlib.redirect_stderr(io.StringIO()):
            classifier.fit(support, targets, unlabelled)
        correct = classifier.predict(queries) == np.array(gold)
        scores[shot].append(round(float(np.mean(correct)), 6))
    return scores


def table(results: Results[T], formatted: Callable[[T], str]) -> str:
    """A Markdown table, a column for each number of shots."""
    shots = sorted({shot for by_shot in results.values() for shot in by_shot}, key=int)
    rows = [
        [
            *names,
            *(formatted(by_shot[shot]) if shot in by_shot else "" for shot in shots),
        ]
        for names, by_shot in results.items()
    ]
    header = ["task", "pairs", "head", *(f"{shot} shots" for shot in shots)]
    return common.markdown_table(header, rows)


def mean_and_std(by_set: list[float]) -> str:
    """Mean and standard deviation over training sets, as LEOPARD reports them."""
    if len(by_set) < 2:
        return "".join(f"{100 * accuracy:.1f}" for accuracy in by_set)
    return f"{100 * np.mean(by_set):.1f} ± {100 * np.std(by_set, ddof=1):.1f}"


if __name__ == "__main__":
    sys.exit(main())
