"""Meta-trains on summaries, with baselines beside it; see README.md.

Usage: METAFLAX_DATA=DIR python experiments/summarization/run.py [--runs DIR]
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
    *(f"titles/{topic}" for topic in (0, 1, 2, 4, 7)),
    *("articles/0", "articles/1", "articles/2", "reviews/grocery"),
)
LONGER = {"steps": 300, "eval_every": 100, "learning_rate": 1e-3}
# Candidate settings of fine-tuning, selected on validation topics.
JOINT = {"inner_learning_rate": (3e-4, 1e-3), "num_steps": (5,)}
SCRATCH = {"inner_learning_rate": (1e-3, 3e-3), "num_steps": (10,)}


def experiment(config: config_lib.Config, runs: Path, console: Console) -> None:
    """Meta-trains, and compares with baselines on unseen topics and genres."""
    prepare.prepare(common.data_folder(), runs)
    prepare.new_model(runs)
    summarization(prepared(config, runs), runs, console)


def prepared(config: config_lib.Config, runs: Path) -> config_lib.Config:
    """Prepares data and model in `runs`, and returns the config that uses them."""
    config = common.on_model(config, runs / "model")
    return common.on_data(config, runs / "texts.jsonl")


def summarization(
    config: config_lib.Config, runs: Path, console: Console, *, num_valid: int = 12
) -> None:
    """Compares meta-training with joint training and training from scratch."""
    adapts = (config.algorithm.adapts,)
    common.against_joint(
        config,
        runs,
        console,
        joint=JOINT | {"adapts": adapts},
        scratch=SCRATCH | {"adapts": adapts},
        first=common.on_domains(config, FIRST, **LONGER),
        valid_episodes=num_valid,
    )


if __name__ == "__main__":
    sys.exit(common.run_script(__file__, __doc__, experiment))
