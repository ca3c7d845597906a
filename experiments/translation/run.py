"""Meta-trains on translation, with baselines beside it; see README.md.

Usage: METAFLAX_DATA=DIR python experiments/translation/run.py [--runs DIR]
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

import prepare
from rich.console import Console

from experiments import common
from metaflax import config as config_lib

# Domains of the first joint training, from which the run and joint training start.
LANGUAGES = ("afr", "bul", "ces", "deu", "ell", "epo", "est", "fra", "hun", "ita")
FIRST = tuple(f"eng-{language}" for language in LANGUAGES)
LONGER = {"steps": 750, "eval_every": 125, "learning_rate": 1e-3}
# Candidate settings of fine-tuning, selected on validation languages.
JOINT = {"inner_learning_rate": (3e-4, 1e-3), "num_steps": (5, 20)}
SCRATCH = {"inner_learning_rate": (1e-3, 3e-3), "num_steps": (20,)}
# The same for selection by chrF, which needs more steps than the likelihood does.
BY_CHRF = {
    "num_steps": (10, 30),
    "joint": {"inner_learning_rate": (1e-3,), "num_steps": (20, 40)},
    "scratch": {"inner_learning_rate": (3e-3,), "num_steps": (20, 40)},
}


def experiment(config: config_lib.Config, runs: Path, console: Console) -> None:
    """Meta-trains, and compares with baselines on unseen languages, sixteen shots."""
    translation(prepared(config, runs), runs, console)


def prepared(config: config_lib.Config, runs: Path) -> config_lib.Config:
    """Prepares data and model in `runs`, and returns the config that uses them."""
    prepare.prepare(common.data_folder(), runs)
    config = common.on_model(config, runs / "model")
    return common.on_data(config, runs / "pairs.jsonl")


def translation(
    config: config_lib.Config, runs: Path, console: Console, *, num_valid: int = 20
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
    common.compare_with_joint(
        config,
        runs,
        console,
        name="by_chrf",
        select_by="chrf",
        valid_episodes=num_valid // 2,
        **BY_CHRF,
    )


if __name__ == "__main__":
    sys.exit(common.run_script(__file__, __doc__, experiment))
