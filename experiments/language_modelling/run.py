"""Meta-trains on articles, with baselines beside it; see README.md.

Usage: METAFLAX_DATA=DIR python experiments/language_modelling/run.py [--runs DIR]
"""

import dataclasses
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

import prepare
from rich.console import Console

from experiments import common
from metaflax import config as config_lib

# The first joint training, on topics, from which the run and joint training start.
LONGER = {"steps": 2000, "eval_every": 500, "learning_rate": 1e-3}
# Candidate settings of fine-tuning, selected on validation articles.
JOINT = {"inner_learning_rate": (1e-4, 3e-4), "num_steps": (5, 20)}
SCRATCH = {"inner_learning_rate": (1e-3, 3e-3), "num_steps": (20,)}


def experiment(config: config_lib.Config, runs: Path, console: Console) -> None:
    """Meta-trains, and compares with baselines on unseen articles, eight shots each."""
    prepare.prepare(common.data_folder(), runs)
    language_modelling(prepared(config, runs), runs, console)


def prepared(config: config_lib.Config, runs: Path) -> config_lib.Config:
    """Prepares data and model in `runs`, and returns the config that uses them."""
    config = common.on_model(config, runs / "model")
    splits = str(runs / "splits.json")
    return common.on_data(config, runs / "sentences.jsonl", split_file=splits)


def language_modelling(
    config: config_lib.Config, runs: Path, console: Console, *, num_valid: int = 30
) -> None:
    """Compares meta-training with joint training and training from scratch."""
    common.against_joint(
        config,
        runs,
        console,
        joint=JOINT,
        scratch=SCRATCH,
        first=topics(config, runs),
        valid_episodes=num_valid,
    )


def topics(config: config_lib.Config, runs: Path) -> config_lib.Config:
    """Config of training on topics, whose sentences come from any article."""
    split_file = str(runs / "topics.json")
    return dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, split_file=split_file),
        training=dataclasses.replace(config.training, **LONGER),
    )


if __name__ == "__main__":
    sys.exit(common.run_script(__file__, __doc__, experiment))
