"""Meta-trains on relations, twice, and meta-tests beside baselines; see README.md.

Usage: METAFLAX_DATA=DIR python experiments/relations/run.py [--runs DIR]
"""

import dataclasses
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

from rich.console import Console

from experiments import common
from metaflax import config as config_lib
from metaflax import workflows

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
    meta_test(config, run_dir, console, "shot1", num_test, num_valid)
    five = dataclasses.replace(
        config, episodes=dataclasses.replace(config.episodes, shot=5)
    )
    # Fine-tuning on five takes four times as long.
    meta_test(five, run_dir, console, "shot5", num_test, num_valid // 2)


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
    config: config_lib.Config,
    run_dir: Path,
    console: Console,
    *,
    num_test: int = 200,
    num_valid: int = 10,
) -> None:
    """Relations, and texts that hold none of those at hand."""
    workflows.train(config, run_dir, console)
    meta_test(config, run_dir, console, "baselines", num_test, num_valid)


def meta_test(
    config: config_lib.Config,
    run_dir: Path,
    console: Console,
    name: str,
    num_test: int,
    num_valid: int,
) -> None:
    """The run beside baselines, on episodes of the config's sizes."""
    common.against_baselines(
        run_dir,
        {"frozen": frozen(config), "fine-tuned": fine_tuned(config)},
        console,
        name=name,
        # Frozen, a text is encoded once, however many settings and episodes.
        valid_episodes={"frozen": 5 * num_valid, "fine-tuned": num_valid},
        episodes=config.episodes,
        evaluation=dataclasses.replace(config.evaluation, test_episodes=num_test),
    )


def frozen(config: config_lib.Config) -> list[common.Setting]:
    """Class means of every pooling."""
    return common.frozen_settings(
        config,
        pooling=("entities", "mean", "first"),
        none_logit=none_logits(config),
    )


def fine_tuned(config: config_lib.Config) -> list[common.Setting]:
    """From class means of the markers or of all tokens, with steps of two sizes."""
    return common.fine_tuned_settings(
        config, pooling=("entities", "mean"), none_logit=none_logits(config)
    )


def none_logits(config: config_lib.Config) -> tuple[float, ...]:
    """Where the logit of none may stand, if that is an answer."""
    return NONE_LOGITS if config.episodes.none_rate else (0.0,)


if __name__ == "__main__":
    sys.exit(common.run_script(__file__, __doc__, experiment))
