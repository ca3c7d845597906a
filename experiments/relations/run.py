"""Meta-trains on relations, twice, and meta-tests beside baselines; see README.md.

Usage: METAFLAX_DATA=DIR python experiments/relations/run.py [--runs DIR]
"""

import dataclasses
import sys
from pathlib import Path

from rich.console import Console

from metaflax import config as config_lib
from metaflax import workflows
from metaflax.workflows import Setting

NONE_LOGITS = (0.0, 2.0, 4.0, 6.0)


def experiment(config: config_lib.Config, runs: Path, console: Console) -> None:
    """One training for one and for five shots, and one for none of the above."""
    relations(config, runs / "run", console)
    none_of_the_above(with_none(config), runs / "none", console)


def relations(
    config: config_lib.Config,
    run_dir: Path,
    console: Console,
    *,
    num_test: int = 200,
    num_valid: int = 20,
) -> None:
    """One training, meta-tested with one support text a relation and with five."""
    workflows.train(config, run_dir, console)
    baselines = {"frozen": frozen(config), "fine-tuned": fine_tuned(config)}
    workflows.against_baselines(
        run_dir,
        baselines,
        console,
        name="shot1",
        valid_episodes=num_valid,
        wanted=dataclasses.replace(config.evaluation, test_episodes=num_test),
    )
    workflows.against_baselines(
        run_dir,
        {"frozen": baselines["frozen"]},
        console,
        name="shot5",
        valid_episodes=5 * num_valid,
        episodes=dataclasses.replace(config.episodes, shot=5),
    )


def with_none(config: config_lib.Config) -> config_lib.Config:
    """The config of episodes a third of whose queries hold none of the relations."""
    episodes = dataclasses.replace(
        config.episodes, way=4, queries=5, none_rate=1 / 3, train_way=10
    )
    algorithm = dataclasses.replace(config.algorithm, none_logit=4.0)
    training = dataclasses.replace(config.training, steps=40)
    return dataclasses.replace(
        config, episodes=episodes, algorithm=algorithm, training=training
    )


def none_of_the_above(
    config: config_lib.Config, run_dir: Path, console: Console, *, num_valid: int = 100
) -> None:
    """Relations, and texts that hold none of those at hand."""
    workflows.train(config, run_dir, console)
    workflows.against_baselines(
        run_dir, {"frozen": frozen(config)}, console, valid_episodes=num_valid
    )


def frozen(config: config_lib.Config) -> list[Setting]:
    """Class means of every pooling, and where there is one, of every logit of none."""
    return workflows.frozen_settings(
        config,
        pooling=("entities", "mean", "first"),
        none_logit=NONE_LOGITS if config.episodes.none_rate else (0.0,),
    )


def fine_tuned(config: config_lib.Config) -> list[Setting]:
    """From class means of the markers or of all tokens, with steps of two sizes."""
    return workflows.fine_tuned_settings(config, pooling=("entities", "mean"))


if __name__ == "__main__":
    sys.exit(workflows.run_script(__file__, __doc__, experiment))
