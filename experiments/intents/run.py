"""All folds at 1 and 5 shots, into one table; see README.md.

Usage: METAFLAX_DATA=DIR python experiments/intents/run.py [--runs DIR] [--folds 01 02]
"""

import argparse
import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
from rich.console import Console

from metaflax import config as config_lib
from metaflax import evaluation, workflows

HERE = Path(__file__).parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs/intents"))
    parser.add_argument("--folds", nargs="+", default=["01", "02", "03", "04", "05"])
    args = parser.parse_args()
    console = Console(highlight=False)
    try:
        for fold in args.folds:
            run_fold(args.runs / fold, fold, console)
    except ValueError as error:
        console.print(f"intents: {error}", markup=False)
        return 2
    console.print(summary(args.runs, args.folds))
    return 0


def run_fold(run_dir: Path, fold: str, console: Console) -> None:
    """Meta-trains once, and meta-tests at both shots."""
    config = config_lib.load_file(HERE / "config.py")
    config = dataclasses.replace(
        config, data=dataclasses.replace(config.data, fold=fold)
    )
    console.print(f"fold {fold}")
    workflows.train(config, run_dir, console)
    for shot in (1, 5):
        episodes = dataclasses.replace(config.episodes, shot=shot)
        workflows.evaluate(run_dir, console, name=f"shot{shot}", episodes=episodes)


def summary(runs: Path, folds: list[str]) -> str:
    """A Markdown table: accuracy before and after, and their paired difference."""
    lines = [
        "| fold | shots | frozen | meta-trained | difference |",
        "| --- | --- | --- | --- | --- |",
    ]
    for shot in (1, 5):
        scores = {fold: accuracies(runs / fold, shot) for fold in folds}
        both = np.concatenate(list(scores.values()), axis=1)
        for name, (before, after) in {**scores, "all": both}.items():
            cells = [
                said(evaluation.mean_interval(before)),
                said(evaluation.mean_interval(after)),
                said(evaluation.paired_interval(before, after), "+"),
            ]
            lines.append(f"| {name} | {shot} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def accuracies(run_dir: Path, shot: int) -> np.ndarray:
    """Accuracy of each episode before and after, `[2, episodes]`."""
    lines = (run_dir / f"shot{shot}.episodes.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    return np.array([[r[m]["accuracy"] for r in records] for m in ("before", "after")])


def said(interval: evaluation.Interval, sign: str = "") -> str:
    return f"{100 * interval.mean:{sign}.2f} ± {100 * interval.half_width:.2f}"


if __name__ == "__main__":
    sys.exit(main())
