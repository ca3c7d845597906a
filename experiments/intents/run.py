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
import protocol
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
    return script.run(__file__, "intents", __doc__, all_folds)


def all_folds(args: argparse.Namespace, console: Console) -> None:
    """Meta-trains and meta-tests each fold, and prints both tables."""
    config = config_of(args.data, args.model)
    runs = args.runs or script.default_folder(args.model)
    folds = {
        # All data are checked before anything is trained.
        fold: recipe.fit(of_fold)
        for fold, of_fold in protocol.read_folds(config, args.folds).items()
    }
    sizes = {fold: fitted.test for fold, fitted in folds.items()}
    for fold, fitted in folds.items():
        run_fold(runs, fold, fitted, console)
    console.print(protocol.described(sizes), markup=False, soft_wrap=True)
    for table in (summary, with_queries):
        rows = table(runs, [*folds], protocol.are_alike(sizes))
        console.print(f"\n{rows}", markup=False, soft_wrap=True)


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


def run_fold(runs: Path, fold: str, fitted: recipe.Recipe, console: Console) -> None:
    """Meta-trains without and with texts that have no labels; meta-tests each."""
    start = time.perf_counter()
    train_and_test(fitted.labelled, fitted.test, runs / fold / LABELLED, console)
    made = runs / fold / "clusters.jsonl"
    unlabelled.write(
        fitted.unlabelled, fitted.num_clusters, runs / fold / LABELLED, made, console
    )
    console.print(
        "Texts of validation and test classes are in meta-training now, without their"
        " labels and as members of clusters; a note about them is expected.",
        soft_wrap=True,
    )
    more = dataclasses.replace(fitted.both.data, more_train=str(made))
    both = dataclasses.replace(fitted.both, data=more)
    train_and_test(both, fitted.test, runs / fold / UNLABELLED, console)
    console.print(f"fold {fold}: {(time.perf_counter() - start) / 60:.1f} minutes")


def train_and_test(
    config: config_lib.Config,
    sizes: config_lib.EpisodeConfig,
    run_dir: Path,
    console: Console,
) -> None:
    """Meta-trains once, and meta-tests at both shots, also transductively."""
    console.print(f"{run_dir}", markup=False, soft_wrap=True)
    train_once(config, run_dir, console)
    for shot in SHOTS:
        episodes = dataclasses.replace(sizes, shot=shot)
        evaluate_once(run_dir, f"shot{shot}", episodes, console)
        of_shot = dataclasses.replace(config, episodes=episodes)
        transductive.write(of_shot, run_dir, run_dir / f"shot{shot}.transductive.json")


def train_once(config: config_lib.Config, run_dir: Path, console: Console) -> None:
    """Meta-trains, unless this is finished; then its config and data are compared.

    Raises:
      ValueError: as `workflows.train`, also where the run is of another config or data.
    """
    directory = workflows.RunDirectory(run_dir)
    if not (run_dir / "results.json").is_file():
        workflows.train(config, run_dir, console)
        return
    with directory.reserved(config):
        workflows.reload_run(directory)


def evaluate_once(
    run_dir: Path, name: str, sizes: config_lib.EpisodeConfig, console: Console
) -> None:
    """Meta-tests a run, unless it was tested on episodes of these sizes."""
    path = run_dir / f"{name}.json"
    if path.is_file():
        config = json.loads(path.read_text("utf-8"))["config"]
        if config["episodes"] == dataclasses.asdict(sizes):
            return
    (run_dir / f"{name}.transductive.json").unlink(missing_ok=True)
    workflows.evaluate(run_dir, console, name=name, episodes=sizes)


def summary(runs: Path, folds: list[str], with_all: bool = True) -> str:
    """Formats a Markdown table: accuracy of three models, and the gain of each step.

    Args:
      runs: folder of the runs.
      folds: names of the folds.
      with_all: whether a row is of all folds together.
    """
    rows = []
    for shot in SHOTS:
        scores = {fold: accuracies(runs / fold, shot) for fold in folds}
        for name, (frozen, trained, more) in together(scores, with_all).items():
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


def with_queries(runs: Path, folds: list[str], with_all: bool = True) -> str:
    """Formats a Markdown table: transductive accuracy of the same models."""
    rows = []
    for shot in SHOTS:
        scores = {fold: transductive_accuracies(runs / fold, shot) for fold in folds}
        for name, each in together(scores, with_all).items():
            cells = [common.percent(evaluation.mean_interval(row)) for row in each]
            rows.append([name, shot, *cells])
    models = ("frozen", "meta-trained", "with unlabelled texts")
    return common.markdown_table(["fold, transductive", "shots", *models], rows)


def together(scores: dict[str, np.ndarray], with_all: bool) -> dict[str, np.ndarray]:
    """Adds the scores of all folds together, `[models, episodes]`, to those of each."""
    if not with_all:
        return scores
    return {**scores, "all": np.concatenate([*scores.values()], axis=1)}


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
