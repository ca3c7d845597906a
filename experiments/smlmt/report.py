"""Results of the pretrainings: a table, and curves over compute."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from few_shot import INTENTS, Scores

from experiments import common
from metaflax import evaluation


def table(results: Mapping[str, Scores]) -> str:
    """Formats accuracies, and differences from the first model, as Markdown.

    Args:
      results: accuracies of episodes by model, and by task and shots.
    """
    first = next(iter(results))
    lines = [
        "| accuracy (%) | " + " | ".join(results) + " |",
        "| --- |" + " ---: |" * len(results),
    ]
    for task in results[first]:
        cells = [
            common.percent(evaluation.mean_interval(by_task[task]), digits=1)
            for by_task in results.values()
        ]
        lines.append(f"| {task} | " + " | ".join(cells) + " |")
    for group in ("LEOPARD", INTENTS):
        of_group = {
            model: together(by_task, group) for model, by_task in results.items()
        }
        before = of_group[first]
        cells = [
            common.percent(evaluation.paired_interval(before, after), "+", digits=1)
            if model != first
            else ""
            for model, after in of_group.items()
        ]
        lines.append(f"| {group}, less {first} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def together(scores: Scores, group: str) -> np.ndarray:
    """Concatenates the accuracies on all episodes of intents, or of all other tasks."""
    of_intents = group == INTENTS
    return np.concatenate(
        [x for task, x in scores.items() if task.startswith(INTENTS) == of_intents]
    )


def picture(path: Path, runs: Sequence[Path], flops: float, yardstick: str) -> None:
    """Plots accuracy on validation classes over compute, one line per run.

    Args:
      path: path of the PNG.
      runs: run directories, named by their pretraining.
      flops: floating-point operations of each run.
      yardstick: the member of all mixtures whose accuracy is plotted.
    """
    from matplotlib import figure

    drawn = figure.Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = drawn.subplots()
    for run_dir in runs:
        shares, accuracy = curve(run_dir, yardstick)
        compute = [share * flops / 1e12 for share in shares]
        axes.plot(compute, accuracy, "o-", ms=3, label=run_dir.name)
    axes.set(
        xlabel="operations of matrix products, in 10¹²",
        ylabel="accuracy (%) on intents,\n5-way 1-shot, validation classes",
    )
    axes.grid(alpha=0.3)
    drawn.legend(loc="outside upper center", ncols=len(runs))
    drawn.savefig(path, dpi=120)


def curve(run_dir: Path, yardstick: str) -> tuple[list[float], list[float]]:
    """Returns the completed share of a run at each validation, and the accuracies."""
    steps = json.loads((run_dir / "config.json").read_text())["training"]["steps"]
    records = map(json.loads, (run_dir / "log.jsonl").read_text().splitlines())
    name = f"valid_{yardstick}_accuracy"
    seen = [(record["step"], record[name]) for record in records if name in record]
    return [step / steps for step, _ in seen], [100 * x for _, x in seen]
