"""Meta-trains and meta-tests all folds at 1 and 5 shots; see README.md.

Usage: METAFLAX_DATA=DIR python experiments/intents/run.py [--runs DIR] [--folds 01 02]
    [--data FOLDER] [--model mpnet]

A finished training is not run again, so that the command may be interrupted.
"""

import argparse
import dataclasses
import json
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

import numpy as np
import recipe
import script
import transductive
import unlabelled
from rich.console import Console

from experiments import common
from metaflax import config as config_lib
from metaflax import evaluation, workflows

HERE = Path(__file__).parent
SHOTS = (1, 5)
LABELLED, UNLABELLED = "labelled", "unlabelled"


def main() -> int:
    return script.run("intents", __doc__, all_folds)


def all_folds(args: argparse.Namespace, console: Console) -> None:
    """Meta-trains and meta-tests each fold, and prints both tables."""
    config = config_of(args.data, args.model)
    runs = args.runs or script.default_folder(args.model)
    folds = script.read_folds(config, args.folds)
    for fold, splits in folds.items():
        run_fold(runs, fold, splits, config, console)
    console.print(summary(runs, [*folds]), markup=False)
    console.print(with_queries(runs, [*folds]), markup=False)


def config_of(folder: Path | None, model: str = "minilm") -> config_lib.Config:
    """Returns the config, for another folder in the same format if one is named."""
    config = config_lib.load_file(HERE / "config.py")
    config = dataclasses.replace(
        config, model=dataclasses.replace(config.model, name=model)
    )
    if folder is None:
        return config
    files = {
        "path": str(folder / "examples.jsonl"),
        "split_file": str(folder / "folds.json"),
    }
    return dataclasses.replace(config, data=dataclasses.replace(config.data, **files))


def run_fold(
    runs: Path, fold: str, splits: dict, config: config_lib.Config, console: Console
) -> None:
    """Meta-trains without and with texts that have no labels; meta-tests each."""
    start = time.perf_counter()
    source = dataclasses.replace(config.data, fold=fold)
    fitted = recipe.fit(dataclasses.replace(config, data=source))
    train_and_test(fitted.labelled, runs / fold / LABELLED, console)
    made = runs / fold / "clusters.jsonl"
    unlabelled.write(
        Path(source.path),
        splits["train"],
        fitted.num_clusters,
        runs / fold / LABELLED,
        made,
        console,
    )
    more = dataclasses.replace(fitted.both.data, more_train=str(made))
    both = dataclasses.replace(fitted.both, data=more)
    train_and_test(both, runs / fold / UNLABELLED, console)
    console.print(f"fold {fold}: {(time.perf_counter() - start) / 60:.1f} minutes")


def train_and_test(config: config_lib.Config, run_dir: Path, console: Console) -> None:
    """Meta-trains once, and meta-tests at both shots."""
    console.print(f"{run_dir}", markup=False)
    workflows.train(config, run_dir, console)
    for shot in SHOTS:
        episodes = dataclasses.replace(config.episodes, shot=shot)
        workflows.evaluate(run_dir, console, name=f"shot{shot}", episodes=episodes)
        of_shot = dataclasses.replace(config, episodes=episodes)
        transductive.write(of_shot, run_dir, run_dir / f"shot{shot}.transductive.json")


def summary(runs: Path, folds: list[str]) -> str:
    """Formats a Markdown table: accuracy of three models, and the gain of each step."""
    rows = []
    for shot in SHOTS:
        scores = {fold: accuracies(runs / fold, shot) for fold in folds}
        both = np.concatenate(list(scores.values()), axis=1)
        for name, (frozen, trained, more) in {**scores, "all": both}.items():
            cells = [
                common.percent(evaluation.mean_interval(frozen)),
                common.percent(evaluation.mean_interval(trained)),
                common.percent(evaluation.mean_interval(more)),
                common.percent(evaluation.paired_interval(frozen, more), "+"),
                common.percent(evaluation.paired_interval(trained, more), "+"),
            ]
            rows.append([name, shot, *cells])
    models = ("frozen", "meta-trained", "with unlabelled texts")
    header = ["fold", "shots", *models, "less frozen", "less meta-trained"]
    return common.markdown_table(header, rows)


def with_queries(runs: Path, folds: list[str]) -> str:
    """Formats a Markdown table: transductive accuracy of the same models."""
    rows = []
    for shot in SHOTS:
        scores = {fold: transductive_accuracies(runs / fold, shot) for fold in folds}
        both = np.concatenate(list(scores.values()), axis=1)
        for name, each in {**scores, "all": both}.items():
            cells = [common.percent(evaluation.mean_interval(row)) for row in each]
            rows.append([name, shot, *cells])
    models = ("frozen", "meta-trained", "with unlabelled texts")
    return common.markdown_table(["fold, transductive", "shots", *models], rows)


def transductive_accuracies(folder: Path, shot: int) -> np.ndarray:
    """Accuracy of each episode as `accuracies`, with its queries, `[3, episodes]`."""
    labelled, both = (
        json.loads((folder / name / f"shot{shot}.transductive.json").read_text())
        for name in (LABELLED, UNLABELLED)
    )
    return np.array([labelled["before"], labelled["after"], both["after"]])


def accuracies(folder: Path, shot: int) -> np.ndarray:
    """Accuracy of each episode: frozen, meta-trained, with more, `[3, episodes]`."""
    labelled, both = (
        common.read_jsonl(folder / name / f"shot{shot}.episodes.jsonl")
        for name in (LABELLED, UNLABELLED)
    )
    return np.array(
        [
            [record["before"]["accuracy"] for record in labelled],
            [record["after"]["accuracy"] for record in labelled],
            [record["after"]["accuracy"] for record in both],
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
