"""Meta-trains on relations, twice, and meta-tests beside baselines; see README.md.

Usage: METAFLAX_DATA=DIR python experiments/relations/run.py [--runs DIR]
"""

import argparse
import dataclasses
import sys
from pathlib import Path

from rich.console import Console

from metaflax import config as config_lib
from metaflax import workflows
from metaflax.workflows import Setting

HERE = Path(__file__).parent
NONE_LOGITS = (0.0, 2.0, 4.0, 6.0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs/relations"))
    args = parser.parse_args()
    console = Console(highlight=False)
    config = config_lib.load_file(HERE / "config.py")
    try:
        relations(config, args.runs / "run", console)
        none_of_the_above(with_none(config), args.runs / "none", console)
    except ValueError as error:
        console.print(f"relations: {error}", markup=False)
        return 2
    return 0


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
    logits = NONE_LOGITS if config.episodes.none_rate else (0.0,)
    return [
        Setting(
            dataclasses.replace(config.model, pooling=pooling),
            dataclasses.replace(config.algorithm, algorithm="frozen", none_logit=logit),
        )
        for pooling in ("entities", "mean", "first")
        for logit in logits
    ]


def fine_tuned(config: config_lib.Config) -> list[Setting]:
    """All but the word embeddings, for five steps of two sizes from class means."""
    return [
        Setting(
            config.model,
            dataclasses.replace(
                config.algorithm,
                algorithm="fine_tuning",
                head="prototypes",
                adapts=("*", "!encoder/embeddings"),
                inner_optimizer="adam",
                inner_learning_rate=rate,
                num_steps=5,
            ),
        )
        for rate in (1e-4, 3e-4)
    ]


if __name__ == "__main__":
    sys.exit(main())
