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
import recipe
import run as intents
import script
from rich.console import Console

from experiments import common
from metaflax import config as config_lib
from metaflax import evaluation, workflows

NAMED = "named"
WHEN = ("before", "after")  # Meta-training.


def main() -> int:
    return script.run("named", __doc__, all_folds)


def all_folds(args: argparse.Namespace, console: Console) -> None:
    """Meta-trains and meta-tests each fold with names, and prints the table."""
    config = intents.config_of(args.data, args.model)
    runs = args.runs or script.default_folder(args.model)
    folds = [*script.read_folds(config, args.folds)]
    for fold in folds:
        train_and_test(config, runs, fold, console)
    console.print(summary(runs, folds), markup=False, soft_wrap=True)


def train_and_test(
    config: config_lib.Config, runs: Path, fold: str, console: Console
) -> None:
    """Meta-trains a fold with names of classes, and meta-tests it at both shots."""
    source = dataclasses.replace(config.data, fold=fold)
    config = recipe.fit(dataclasses.replace(config, data=source)).labelled
    config = with_names(config)
    run_dir = runs / fold / NAMED
    workflows.train(config, run_dir, console)
    for shot in intents.SHOTS:
        if (run_dir / f"shot{shot}.episodes.jsonl").exists():
            continue
        episodes = dataclasses.replace(config.episodes, shot=shot)
        workflows.evaluate(run_dir, console, name=f"shot{shot}", episodes=episodes)


def with_names(config: config_lib.Config) -> config_lib.Config:
    """Returns the config with the names of classes as support examples."""
    data = dataclasses.replace(config.data, label_names="as_written")
    return dataclasses.replace(config, data=data)


def summary(runs: Path, folds: list[str]) -> str:
    """Formats a Markdown table: accuracy with names, and the gain from them."""
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
