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

# How joint training learns topics first, that the run and joint training start from.
LONGER = {"steps": 2000, "eval_every": 500, "learning_rate": 1e-3}
# Fine-tuning is chosen from these, on validation articles.
JOINT = {"inner_learning_rate": (1e-4, 3e-4), "num_steps": (5, 20)}
SCRATCH = {"inner_learning_rate": (1e-3, 3e-3), "num_steps": (20,)}


def experiment(config: config_lib.Config, runs: Path, console: Console) -> None:
    """Articles never seen, from eight sentences each."""
    prepare.prepare(common.data_folder(), runs)
    language_modelling(prepared(config, runs), runs, console)


def prepared(config: config_lib.Config, runs: Path) -> config_lib.Config:
    """The config, on data and a model that lie in `runs`."""
    config = common.on_model(config, runs / "model")
    splits = str(runs / "splits.json")
    return common.on_data(config, runs / "sentences.jsonl", split_file=splits)


def language_modelling(
    config: config_lib.Config, runs: Path, console: Console, *, num_valid: int = 30
) -> None:
    """Meta-training beside joint training and training from scratch."""
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
    """The config, learning from the sentences of no article in particular."""
    split_file = str(runs / "topics.json")
    return dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, split_file=split_file),
        training=dataclasses.replace(config.training, **LONGER),
    )


if __name__ == "__main__":
    sys.exit(common.run_script(__file__, __doc__, experiment))
