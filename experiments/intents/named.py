"""Names of intents as support examples, on all folds at 1 and 5 shots; see README.md.

Usage: METAFLAX_DATA=DIR python experiments/intents/named.py [--runs DIR]
    [--folds 01 02] [--data FOLDER] [--model mpnet]

Meta-trains on the labelled classes of each fold, with their names, and scores the test
episodes of run.py, with names; compared with the runs of run.py where these are there.
A finished training is not run again, so that the command may be interrupted.
"""

import argparse
import dataclasses
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

import numpy as np
import protocol
import recipe
import run as intents
import script
from rich.console import Console

from experiments import common
from metaflax import config as config_lib
from metaflax import evaluation

NAMED = "named"
WHEN = ("before", "after")  # Meta-training.


def main() -> int:
    return script.run(__file__, "named", __doc__, all_folds)


def all_folds(args: argparse.Namespace, console: Console) -> None:
    """Meta-trains and meta-tests each fold with names, and prints the table."""
    config = intents.config_of(args.data, args.model)
    runs = args.runs or script.default_folder(args.model)
    folds = {
        # All data are checked before anything is trained.
        fold: recipe.fit(of_fold)
        for fold, of_fold in protocol.read_folds(config, args.folds).items()
    }
    for fold, fitted in folds.items():
        train_and_test(fitted, runs, fold, console)
    sizes = {fold: fitted.test for fold, fitted in folds.items()}
    console.print(protocol.described(sizes), markup=False, soft_wrap=True)
    rows = summary(runs, [*folds], protocol.are_alike(sizes))
    console.print(rows, markup=False, soft_wrap=True)


def train_and_test(
    fitted: recipe.Recipe, runs: Path, fold: str, console: Console
) -> None:
    """Meta-trains a fold with names of classes, and meta-tests it at both shots."""
    run_dir = runs / fold / NAMED
    intents.train_once(with_names(fitted.labelled), run_dir, console)
    for shot in intents.SHOTS:
        episodes = dataclasses.replace(fitted.test, shot=shot)
        intents.evaluate_once(run_dir, f"shot{shot}", episodes, console)


def with_names(config: config_lib.Config) -> config_lib.Config:
    """Returns the config with the names of classes as support examples."""
    data = dataclasses.replace(config.data, label_names="as_written")
    return dataclasses.replace(config, data=data)


def summary(runs: Path, folds: list[str], with_all: bool = True) -> str:
    """Formats a Markdown table: accuracy with names, and the gain from them.

    Args:
      runs: folder of the runs.
      folds: names of the folds.
      with_all: whether a row is of all folds together.
    """
    rows = []
    for shot in intents.SHOTS:
        named = [accuracies(runs / fold / NAMED, shot) for fold in folds]
        labelled = [runs / fold / intents.LABELLED for fold in folds]
        without = [
            accuracies(path, shot) if path.exists() else None for path in labelled
        ]
        rows += [
            [fold, shot, *cells(scores, before)]
            for fold, scores, before in zip(folds, named, without, strict=True)
        ]
        if not with_all:
            continue
        known = [scores for scores in without if scores is not None]
        every = np.concatenate(known, axis=1) if len(known) == len(folds) else None
        rows.append(["all", shot, *cells(np.concatenate(named, axis=1), every)])
    models = ("frozen", "meta-trained")
    differences = (f"{name}, less without names" for name in models)
    gain = "meta-trained less frozen"
    header = ["fold, with names", "shots", *models, gain, *differences]
    return common.markdown_table(header, rows)


def cells(named: np.ndarray, without: np.ndarray | None) -> list[str]:
    """Formats scores with names, and paired differences from those without."""
    scores = [common.percent(evaluation.mean_interval(row)) for row in named]
    scores.append(common.percent(evaluation.paired_interval(*named), "+"))
    if without is None:
        return [*scores, "", ""]
    pairs = zip(without, named, strict=True)
    differences = [evaluation.paired_interval(*pair) for pair in pairs]
    return [*scores, *(common.percent(interval, "+") for interval in differences)]


def accuracies(run_dir: Path, shot: int) -> np.ndarray:
    """Accuracy of each episode, frozen and meta-trained, `[2, episodes]`."""
    records = common.read_jsonl(run_dir / f"shot{shot}.episodes.jsonl")
    return np.array([[record[when]["accuracy"] for record in records] for when in WHEN])


if __name__ == "__main__":
    sys.exit(main())
