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
import collections
import functools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

import numpy as np

import metaflax
from experiments import common
from metaflax import config as config_lib
from metaflax import data, evaluation, tasks

T = TypeVar("T")
Results: TypeAlias = dict[tuple[str, ...], dict[str, T]]
"""By task, pair encoding and head, and by number of shots."""

MAX_LENGTH = 256
PAIR_ENCODINGS = ("one_sequence", "two_towers", "both", "phrase")
FILES = ("train_episodes.jsonl", "eval.jsonl")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path, help="each holds one task")
    parser.add_argument("--model", default="minilm", help="name or directory")
    parser.add_argument("--start", help="another model, to compare with")
    parser.add_argument("--heads", nargs="+", help="default: class means")
    parser.add_argument("--pair-encodings", nargs="+", choices=PAIR_ENCODINGS)
    parser.add_argument("--out", type=Path, default=Path("runs/leopard"))
    args = parser.parse_args()
    return common.run_command(__file__, "leopard", lambda console: compare(args))


def compare(args: argparse.Namespace) -> None:
    """Scores a model, and prints its scores and its gain over another one."""
    check_names(args.folders)
    results = scores_of(args.model, args)
    start = scores_of(args.start, args) if args.start else {}
    print(table(results, mean_and_std))
    if start:
        gains = {
            names: {
                shot: gain(start[names][shot], accuracy)
                for shot, accuracy in by_shot.items()
            }
            for names, by_shot in results.items()
        }
        print(f"\nThe same less {args.start}, paired by training set:\n")
        print(table(gains, str))


def check_names(folders: Sequence[Path]) -> None:
    """Raises ValueError if folders have the same name, which names their scores."""
    names = collections.Counter(folder.resolve().name for folder in folders)
    name, count = names.most_common(1)[0]
    if count > 1:
        raise ValueError(
            f"{count} folders are called {name}, which names their scores; rename them,"
            " or score each alone with another --out."
        )


def scores_of(model: str, args: argparse.Namespace) -> Results[list[float]]:
    """Scores a model on all tasks, or reads the scores that exist."""
    folder_of_model = args.out / "-".join(Path(model).parts).strip("/-")
    results: Results[list[float]] = {}
    notes: dict[str, None] = {}
    for folder in args.folders:
        task = folder.resolve().name
        usual = pair_encoding(folder)
        if args.pair_encodings and not usual:
            notes[f"{folder}: holds single texts, which have no pair encoding."] = None
        encodings = (args.pair_encodings or [usual]) if usual else [""]
        ways = [
            (encoding, head)
            for encoding in encodings
            for head in args.heads or [usual_head(encoding)]
        ]
        for encoding, head in ways:
            name = "-".join(filter(None, (task, encoding, head)))
            record = common.kept_record(
                folder_of_model / f"{name}.json",
                identity(folder, model),
                functools.partial(score, folder, model, head, encoding),
            )
            results[task, encoding, head] = record["accuracy"]
            notes |= dict.fromkeys(record["notes"])
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    return results


def identity(folder: Path, model: str) -> dict[str, Any]:
    """Returns digests of the data and the model of scores."""
    files = {name: common.file_digest(folder / name) for name in FILES}
    return {"data": files, "model": common.model_digest(model)}


def pair_encoding(folder: Path) -> str:
    """Returns the encoding that suits the pairs of a folder, empty for single texts.

    Raises:
      ValueError: if a file is missing or malformed, or only some rows hold pairs.
    """
    for path in (folder / name for name in FILES):
        if not path.is_file():
            advice = f"name folders that hold {' and '.join(FILES)}"
            raise ValueError(f"there is no {path}; {advice}.")
    rows = [row for name in FILES for row in data.read_rows(folder / name)]
    single = [place for place, row in rows if row.get("text_pair") is None]
    if len(single) == len(rows):
        return ""
    if single:
        raise ValueError(
            f"{single[0]}: no 'text_pair', and other rows have one; give it to all rows"
            " of both files or to none."
        )
    pairs = [tasks.PAIR.read(tasks.Fields(row, place)) for place, row in rows]
    occurs = [pair.second.lower() in pair.first.lower() for pair in pairs]
    return "phrase" if np.mean(occurs) > 0.5 else "two_towers"


def usual_head(encoding: str) -> str:
    """Returns the default head: class means, centred for pairs in two towers.

    Without centring, features that all pairs share dominate; see README.md.
    """
    return "centred_prototypes" if encoding == "two_towers" else "prototypes"


def score(folder: Path, model: str, head: str, encoding: str) -> dict[str, Any]:
    """Returns the accuracy on each training set, by shot, and notes on the data."""
    kind = "pair_classification" if encoding else "classification"
    task = config_lib.build_task(
        config_lib.Config(data=config_lib.DataConfig(task=kind))
    )
    given, shots = data.published_sets(folder, task=task)
    classifier = metaflax.FewShotClassifier(
        model, head=head, max_length=MAX_LENGTH, pair_encoding=encoding or None
    )
    transductive = common.takes_unlabelled(head)
    texts, labels = given.examples.texts, given.examples.labels
    scores: dict[int, list] = {shot: [] for shot in sorted(set(shots))}
    for shot, episode in zip(shots, given.episodes, strict=True):
        rows_of = episode.support, episode.query
        support, queries = ([texts[n] for n in rows] for rows in rows_of)
        targets, gold = ([labels[n][0] for n in rows] for rows in rows_of)
        unlabelled = queries if transductive else None
        classifier.fit(support, targets, unlabelled)
        correct = classifier.predict(queries) == np.array(gold)
        scores[shot].append(round(float(np.mean(correct)), 6))
    return {"accuracy": scores, "notes": given.examples.notes}


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


def gain(before: list[float], after: list[float]) -> str:
    """Formats the difference in accuracy, with an interval over training sets."""
    if len(before) < 2:
        return f"{100 * (np.mean(after) - np.mean(before)):+.1f}"
    interval = evaluation.paired_interval(np.array(before), np.array(after))
    return common.percent(interval, "+", 1)


def mean_and_std(by_set: list[float]) -> str:
    """Mean and standard deviation over training sets, as LEOPARD reports them."""
    if len(by_set) < 2:
        return "".join(f"{100 * accuracy:.1f}" for accuracy in by_set)
    return f"{100 * np.mean(by_set):.1f} ± {100 * np.std(by_set, ddof=1):.1f}"


if __name__ == "__main__":
    sys.exit(main())
