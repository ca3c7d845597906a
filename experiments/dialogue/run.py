"""Meta-trains on dialogues, with baselines beside it; see README.md.

Usage: METAFLAX_DATA=DIR python experiments/dialogue/run.py [--runs DIR]
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

import prepare
from rich.console import Console

from experiments import common
from metaflax import config as config_lib

# Domains of the first joint training, from which the run and joint training start.
FIRST = (
    *("sgd/Banks", "sgd/Buses", "sgd/Calendar", "sgd/Events", "sgd/Homes"),
    *("chatterbot/conversations", "chatterbot/money", "chatterbot/science"),
)
LONGER = {"steps": 600, "eval_every": 150, "learning_rate": 1e-3}
# Candidate settings of fine-tuning, selected on validation domains.
JOINT = {"inner_learning_rate": (1e-4, 3e-4), "num_steps": (5, 20)}
SCRATCH = {"inner_learning_rate": (1e-3, 3e-3), "num_steps": (20,)}


def experiment(config: config_lib.Config, runs: Path, console: Console) -> None:
    """Meta-trains, and compares with baselines on unseen domains, eight shots each."""
    held_out = prepare.held_out(config)
    prepare.prepare(common.data_folder(), runs, held_out)
    dialogue(prepared(config, runs), runs, console)


def prepared(config: config_lib.Config, runs: Path) -> config_lib.Config:
    """Prepares data and model in `runs`, and returns the config that uses them."""
    config = common.on_model(config, runs / "model")
    return common.on_data(config, runs / "answers.jsonl")


def dialogue(
    config: config_lib.Config, runs: Path, console: Console, *, num_valid: int = 15
) -> None:
    """Compares meta-training with joint training and training from scratch."""
    common.against_joint(
        config,
        runs,
        console,
        joint=JOINT,
        scratch=SCRATCH,
        first=common.on_domains(config, FIRST, **LONGER),
        valid_episodes=num_valid,
    )


if __name__ == "__main__":
    sys.exit(common.run_script(__file__, __doc__, experiment))
