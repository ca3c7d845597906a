"""Meta-trains on pairs, and meta-tests on SciTail beside baselines; see README.md.

Usage: METAFLAX_DATA=DIR python experiments/pairs/run.py [--runs DIR]
"""

import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

import numpy as np
import prepare
from rich.console import Console

from experiments import common
from metaflax import config as config_lib
from metaflax import data, evaluation, tasks, workflows

# Fine-tuned models encode the queries again for each of 30 training sets.
FINE_TUNED_QUERIES = 200


def experiment(config: config_lib.Config, runs: Path, console: Console) -> None:
    """Meta-trains, and compares with baselines on sampled and published episodes."""
    folder = common.data_folder()
    console.print(pairs(config, folder, runs, console))


def pairs(
    config: config_lib.Config,
    folder: Path,
    runs: Path,
    console: Console,
    *,
    num_valid: int = 20,
) -> str:
    """Compares the run with baselines on sampled and published episodes."""
    file = runs / "pairs.jsonl"
    prepare.prepare(folder, file)
    config = common.on_data(config, file)
    workflows.train(config, runs / "run", console)
    results = common.against_baselines(
        runs / "run",
        {"frozen": frozen(config), "fine-tuned": fine_tuned(config)},
        console,
        valid_episodes=num_valid,
    )
    scitail = folder / "leopard" / "scitail"
    return on_published(runs / "run", results["chosen"], scitail)


def frozen(config: config_lib.Config) -> list[common.Setting]:
    """Settings of three heads on either pooling of the frozen encoder."""
    return common.frozen_settings(
        config, head=("prototypes", "ridge", "logistic_regression")
    )


def fine_tuned(config: config_lib.Config) -> list[common.Setting]:
    """Settings of fine-tuning from class means, with two learning rates."""
    return common.fine_tuned_settings(config)


def on_published(run_dir: Path, selected: dict[str, Any], folder: Path) -> str:
    """Formats a Markdown table of accuracy on LEOPARD's training sets, by shot."""
    task = tasks.pair_classification()
    every, shots = data.published_sets(folder, task=task)
    some, _ = data.published_sets(folder, task=task, num_queries=FINE_TUNED_QUERIES)
    scores = {
        "frozen": accuracy(run_dir, every, selected["frozen"]),
        "meta-trained": accuracy(run_dir, every),
        f"fine-tuned, {FINE_TUNED_QUERIES} of eval": accuracy(
            run_dir, some, selected["fine-tuned"]
        ),
        f"meta-trained, {FINE_TUNED_QUERIES} of eval": accuracy(run_dir, some),
    }
    rows = []
    for shot in sorted(set(shots)):
        of_shot = np.array(shots) == shot
        rows.append([shot, *(mean_and_std(x[of_shot]) for x in scores.values())])
    lines = [common.markdown_table(["shots", *scores], rows)]
    frozen, ours, tuned, same = scores.values()
    for name, before, after in (("frozen", frozen, ours), ("fine-tuned", tuned, same)):
        interval = evaluation.paired_interval(before, after)
        lines.append(
            f"\nmeta-trained less {name}, over {len(before)} training sets:"
            f" {common.percent(interval, '+')}"
        )
    return "\n".join(lines)


def accuracy(
    run_dir: Path, episodes: data.FixedEpisodes, selected: dict[str, Any] | None = None
) -> np.ndarray:
    """Computes the accuracy of a baseline, or of the run, on each training set."""
    setting = None
    if selected is not None:
        setting = common.Setting(
            config_lib.ModelConfig(**selected["model"]),
            config_lib.AlgorithmConfig(**selected["algorithm"]),
        )
    scores = common.score_episodes(run_dir, episodes, setting)
    return scores.metrics["accuracy"]


def mean_and_std(by_set: np.ndarray) -> str:
    """Formats mean and standard deviation over training sets, as LEOPARD does."""
    return f"{100 * by_set.mean():.2f} ± {100 * by_set.std(ddof=1):.2f}"


if __name__ == "__main__":
    sys.exit(common.run_script(__file__, __doc__, experiment))
