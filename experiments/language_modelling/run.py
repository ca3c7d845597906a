"""Meta-trains on articles, with baselines beside it; see README.md.

Usage: METAFLAX_DATA=DIR python experiments/language_modelling/run.py [--runs DIR]
"""

import dataclasses
import os
import sys
from pathlib import Path

import prepare
from rich.console import Console

from metaflax import config as config_lib
from metaflax import workflows

# How joint training learns topics first, that the run and joint training start from.
LONGER = {"steps": 2000, "eval_every": 500, "learning_rate": 1e-3}
# Fine-tuning is chosen from these, on validation articles.
JOINT = {"inner_learning_rate": (1e-4, 3e-4), "num_steps": (5, 20)}
SCRATCH = {"inner_learning_rate": (1e-3, 3e-3), "num_steps": (20,)}


def experiment(config: config_lib.Config, runs: Path, console: Console) -> None:
    """Articles never seen, from eight sentences each."""
    prepare.prepare(Path(os.environ.get("METAFLAX_DATA", "data")), runs)
    language_modelling(prepared(config, runs), runs, console)


def prepared(config: config_lib.Config, runs: Path) -> config_lib.Config:
    """The config, on data and a model that lie in `runs`."""
    return dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, model=str(runs / "model")),
        data=dataclasses.replace(
            config.data,
            data=str(runs / "sentences.jsonl"),
            split_file=str(runs / "splits.json"),
        ),
    )


def language_modelling(
    config: config_lib.Config, runs: Path, console: Console, *, num_valid: int = 30
) -> None:
    """Meta-training beside joint training and training from scratch."""
    workflows.against_joint(
        config,
        runs,
        console,
        joint=JOINT,
        scratch=SCRATCH,
        first=topics(config, runs),
        valid_episodes=num_valid,
    )


def topics(config: config_lib.Config, runs: Path) -> config_lib.Config:
    """The config, learning from the sentences of no article in particular."""
    split_file = str(runs / "topics.json")
    return dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, split_file=split_file),
        training=dataclasses.replace(config.training, **LONGER),
    )


if __name__ == "__main__":
    sys.exit(workflows.run_script(__file__, __doc__, experiment))
