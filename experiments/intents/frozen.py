"""A frozen encoder with class means on all folds at 1 and 5 shots; see README.md.

Usage: METAFLAX_DATA=DIR python experiments/intents/frozen.py --model mpnet [--out DIR]
    [--folds 01 02] [--data FOLDER] [--label-names]

Episodes are those of run.py. A finished score is not computed again, so that the
command may be interrupted.
"""

import argparse
import dataclasses
import functools
import sys
import time
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

import named
import numpy as np
import protocol
import recipe
import run as intents
import script
from rich.console import Console

from experiments import common
from metaflax import config as config_lib
from metaflax import evaluation, workflows
from metaflax.data.sources._splits import names_by_file

NAMES = ("--label-names", {"action": "store_true", "help": "use names, too"})


def main() -> int:
    return script.run(__file__, "frozen", __doc__, all_folds, NAMES, folder="--out")


def all_folds(args: argparse.Namespace, console: Console) -> None:
    """Scores each fold at both shots, and prints the rows of the table."""
    config = intents.config_of(args.data, args.model)
    if args.label_names:
        config = named.with_names(config)
    kind = "-named" if args.label_names else ""
    out = args.out or script.default_folder(args.model, kind)
    folds = {
        # All data are checked before anything is scored.
        fold: recipe.fit(of_fold)
        for fold, of_fold in protocol.read_folds(config, args.folds).items()
    }
    sizes = {fold: fitted.test for fold, fitted in folds.items()}
    console.print(protocol.described(sizes), markup=False, soft_wrap=True)
    results: dict[tuple[str, int], dict] = {}
    for fold, fitted in folds.items():
        for shot in intents.SHOTS:
            tested = with_shot(fitted, shot)
            results[fold, shot] = common.kept_record(
                out / f"{fold}.shot{shot}.json",
                identity(tested),
                functools.partial(score, tested),
            )
            show(console, row(fold, shot, [results[fold, shot]]))
    if protocol.are_alike(sizes):
        for shot in intents.SHOTS:
            of_shot = [results[fold, shot] for fold in folds]
            show(console, row("all", shot, of_shot))


def with_shot(fitted: recipe.Recipe, shot: int) -> config_lib.Config:
    """Returns the config of a fold, with the sizes of its test episodes."""
    sizes = dataclasses.replace(fitted.test, shot=shot)
    return dataclasses.replace(fitted.labelled, episodes=sizes)


def identity(config: config_lib.Config) -> dict[str, Any]:
    """Returns the identity of the data, the model and the sizes of scores."""
    source = config.data
    assert source.split_file is not None  # config.py sets one.
    return {
        "data": common.file_digest(source.path),
        "classes": {**names_by_file(source.split_file, source.fold)},
        "model": common.model_digest(config.model.name),
        "names of classes": source.label_names,
        "sizes of episodes": dataclasses.asdict(config.episodes),
        "test episodes": dataclasses.asdict(config.evaluation),
    }


def show(console: Console, row: str) -> None:
    """Prints a row without markup."""
    console.print(row, markup=False, soft_wrap=True)


def score(config: config_lib.Config) -> dict[str, Any]:
    """Returns the accuracy of each test episode, and the seconds that all took."""
    run = workflows.load_run(config)
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
