"""Masked-word tasks beside more pretraining, judged on intents; see README.md.

Usage: METAFLAX_DATA=DIR python experiments/smlmt/run.py [--runs DIR]
"""

import dataclasses
import os
import sys
from pathlib import Path
from typing import NamedTuple

import config as settings
import numpy as np
from rich.console import Console

from metaflax import config as config_lib
from metaflax import data, evaluation, workflows
from metaflax.workflows import Setting

SEEDS = range(10)
SHOTS = (1, 5)
EPISODES = 600


class Intents(NamedTuple):
    """Episodes of the test classes of fold 01 of CLINC150.

    Attributes:
      examples: of these classes.
      episodes: the same ones always.
      sizes: of the largest.
    """

    examples: data.Examples
    episodes: tuple[data.Episode, ...]
    sizes: data.EpisodeSizes

    @classmethod
    def drawn(cls, folder: Path, shot: int, num: int) -> "Intents":
        """5-way episodes with 5 queries a class."""
        examples = data.read(folder / "examples.jsonl")
        splits = data.split_by_file(examples, folder / "folds.json", "01")
        sampler = data.EpisodeSampler(splits.test, 5, shot, 5)
        return cls(splits.test, data.fixed_list(sampler, 1, num), sampler.sizes)

    def episode(self, seed: int, index: int) -> data.Episode:
        """Episode `index`, whatever the seed."""
        del seed
        return self.episodes[index]


def experiment(config: config_lib.Config, runs: Path, console: Console) -> None:
    """All seeds, and a table of what they come to."""
    folder = Path(os.environ.get("METAFLAX_DATA", "data")) / "clinc150"
    episodes = {shot: Intents.drawn(folder, shot, EPISODES) for shot in SHOTS}
    console.print(
        compared(config, settings.pretraining, episodes, SEEDS, runs, console)
    )


def compared(
    config: config_lib.Config,
    pretraining: config_lib.PretrainConfig,
    episodes: dict[int, Intents],
    seeds: range,
    runs: Path,
    console: Console,
) -> str:
    """A Markdown table of accuracy on intents by shot, means over seeds."""
    found: dict[str, dict[int, list[np.ndarray]]] = {}
    for seed in seeds:
        directories = pretrained(config, pretraining, seed, runs, console)
        for name, accuracy in scored(config, directories, episodes).items():
            for shot, by_episode in accuracy.items():
                found.setdefault(name, {}).setdefault(shot, []).append(by_episode)
    lines = [
        "| accuracy (%) | " + " | ".join(f"{shot} shots" for shot in episodes) + " |",
        "| --- " * (len(episodes) + 1) + "|",
    ]
    for name, by_shot in found.items():
        # Of each seed its mean: what differs from run to run is the pretraining.
        cells = [said(np.mean(by_shot[shot], axis=1)) for shot in episodes]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def pretrained(
    config: config_lib.Config,
    pretraining: config_lib.PretrainConfig,
    seed: int,
    runs: Path,
    console: Console,
) -> dict[str, Path]:
    """Masked words from random weights; then more of it, or masked-word tasks."""

    def with_seed(settings):
        loop = dataclasses.replace(settings.training, seed=seed)
        return dataclasses.replace(settings, training=loop)

    begun, longer = runs / f"masked-words-{seed}", runs / f"more-masked-words-{seed}"
    first = with_seed(pretraining)
    workflows.pretrain(first, begun, console)
    network = dataclasses.replace(
        first.network, fresh=False, model=str(begun / "model")
    )
    workflows.pretrain(dataclasses.replace(first, network=network), longer, console)
    model = dataclasses.replace(config.model, model=str(begun / "model"))
    smlmt = runs / f"smlmt-{seed}"
    workflows.train(with_seed(dataclasses.replace(config, model=model)), smlmt, console)
    return {"masked words": begun, "more masked words": longer, "smlmt": smlmt}


def scored(
    config: config_lib.Config,
    directories: dict[str, Path],
    episodes: dict[int, Intents],
) -> dict[str, dict[int, np.ndarray]]:
    """Accuracy on each episode, of class means on what each pretraining left."""
    run_dir = directories["smlmt"]

    def accuracy(name: str, shot: int) -> np.ndarray:
        setting = None
        if name != "smlmt":
            left = str(directories[name] / "model")
            setting = Setting(
                dataclasses.replace(config.model, model=left),
                dataclasses.replace(config.algorithm, algorithm="frozen", head=None),
            )
        scores = workflows.score_episodes(run_dir, episodes[shot], setting)
        return scores.metrics["accuracy"]

    return {
        name: {shot: accuracy(name, shot) for shot in episodes} for name in directories
    }


def said(by_seed: np.ndarray) -> str:
    """Mean and 95 % interval over seeds."""
    interval = evaluation.mean_interval(by_seed)
    return f"{100 * interval.mean:.2f} ± {100 * interval.half_width:.2f}"


if __name__ == "__main__":
    sys.exit(workflows.run_script(__file__, __doc__, experiment))
