"""A frozen encoder with class means on all folds at 1 and 5 shots; see README.md.

Usage: METAFLAX_DATA=DIR python experiments/intents/frozen.py --model mpnet [--out DIR]
    [--folds 01 02] [--data FOLDER] [--label-names]

Episodes are those of run.py. A finished score is not computed again, so that the
command may be interrupted.
"""

import argparse
import dataclasses
import json
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

import named
import numpy as np
import recipe
import run as intents
import script
from rich.console import Console

from experiments import common
from metaflax import config as config_lib
from metaflax import evaluation, workflows

NAMES = ("--label-names", {"action": "store_true", "help": "use names, too"})


def main() -> int:
    return script.run("frozen", __doc__, all_folds, NAMES, folder="--out")


def all_folds(args: argparse.Namespace, console: Console) -> None:
    """Scores each fold at both shots, and prints the rows of the table."""
    config = intents.config_of(args.data, args.model)
    if args.label_names:
        config = named.with_names(config)
    kind = "-named" if args.label_names else ""
    out = args.out or script.default_folder(args.model, kind)
    folds = script.read_folds(config, args.folds)
    paths = {
        (fold, shot): out / f"{fold}.shot{shot}.json"
        for fold in folds
        for shot in intents.SHOTS
    }
    for (fold, shot), path in paths.items():
        if not path.is_file():
            common.write_json(path, score(config, fold, shot))
        show(console, row(fold, shot, [json.loads(path.read_text())]))
    for shot in intents.SHOTS:
        results = [json.loads(paths[fold, shot].read_text()) for fold in folds]
        show(console, row("all", shot, results))


def show(console: Console, row: str) -> None:
    """Prints a row without markup."""
    console.print(row, markup=False, soft_wrap=True)


def score(config: config_lib.Config, fold: str, shot: int) -> dict:
    """Returns the accuracy of each test episode, and the seconds that all took."""
    config = dataclasses.replace(
        config, data=dataclasses.replace(config.data, fold=fold)
    )
    config = recipe.fit(config).labelled
    episodes = dataclasses.replace(config.episodes, shot=shot)
    run = workflows.load_run(dataclasses.replace(config, episodes=episodes))
    start = time.perf_counter(), time.process_time()
    scores = run.test_evaluator()(run.initial_params())
    wall, cpu = (now - then for now, then in zip(_now(), start, strict=True))
    accuracy = np.asarray(scores.metrics["accuracy"], float).tolist()
    return {"accuracy": accuracy, "seconds": wall, "cpu_seconds": cpu}


def row(fold: str, shot: int, results: list[dict]) -> str:
    """Formats a row of the README's table, with the seconds it took."""
    each = np.concatenate([result["accuracy"] for result in results])
    interval = common.percent(evaluation.mean_interval(each))
    seconds = sum(result["cpu_seconds"] for result in results)
    return f"| {fold} | {shot} | {interval} | {seconds:.0f} |"


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


if __name__ == "__main__":
    sys.exit(main())
