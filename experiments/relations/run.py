"""Meta-trains on relations, twice, and meta-tests beside baselines; see README.md.

The meta-trained encoder is also scored with other heads and with relation names.

Usage: METAFLAX_DATA=DIR python experiments/relations/run.py [--runs DIR]
    [--model minilm] [--dtype float32] [--skip-fine-tuning]
"""

import argparse
import dataclasses
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))  # Finds experiments.common.

from rich.console import Console

from experiments import common
from experiments.relations.variants import (
    compare_variants,
    together,
    with_head,
    with_names,
    write_names,
)
from metaflax import config as config_lib
from metaflax import workflows

NONE_LOGITS = (0.0, 2.0, 4.0, 6.0)
# Heads on the meta-trained encoder; the strength was selected on validation
# relations. Soft k-means also learns from the queries without their labels.
HEADS = {
    "ridge regression": with_head("ridge", strength=0.1),
    "soft k-means, transductive": with_head("soft_k_means"),
}


def options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of this experiment."""
    common.encoder_options(parser)
    parser.add_argument(
        "--skip-fine-tuning",
        action="store_true",
        help="leave out the baseline that takes most of the time",
    )


def experiment(
    config: config_lib.Config,
    runs: Path,
    console: Console,
    *,
    model: str | None = None,
    dtype: str | None = None,
    skip_fine_tuning: bool = False,
) -> None:
    """Meta-trains for one and five shots, and separately for none of the above."""
    config = common.on_model(config, model, dtype)
    tuned = not skip_fine_tuning
    relations(config, runs / "run", console, tuned=tuned)
    none_of_the_above(with_none(config), runs / "none", console, tuned=tuned)


def relations(
    config: config_lib.Config,
    run_dir: Path,
    console: Console,
    *,
    num_test: int = 200,
    num_valid: int = 20,
    tuned: bool = True,
) -> None:
    """Meta-trains once; meta-tests with one and five support texts per relation."""
    named = with_names(write_names(config, run_dir.with_name("names.json")))
    workflows.train(config, run_dir, console)
    variants = {
        **HEADS,
        "names of relations": named,
        "names, soft k-means, transductive": together(named, with_head("soft_k_means")),
    }
    for shot in (1, 5):
        episodes = dataclasses.replace(config.episodes, shot=shot)
        sized = dataclasses.replace(config, episodes=episodes)
        # Fine-tuning on five takes four times as long.
        num = num_valid if shot == 1 else num_valid // 2
        meta_test(sized, run_dir, console, f"shot{shot}", num_test, num, tuned=tuned)
        compare_variants(
            run_dir,
            variants,
            console,
            name=f"variants{shot}",
            episodes=episodes,
            evaluation=config.evaluation,
        )


def with_none(config: config_lib.Config) -> config_lib.Config:
    """Config of episodes in which a third of the queries have none of the relations.

    Features are the states of the entity markers alone.
    """
    model = dataclasses.replace(
        config.model, pooling="entities", pair_encoding="one_sequence"
    )
    max_length = min(config.data.max_length, 96)
    data = dataclasses.replace(config.data, max_length=max_length)
    episodes = dataclasses.replace(
        config.episodes, way=4, queries=5, none_rate=1 / 3, train_way=10
    )
    algorithm = dataclasses.replace(config.algorithm, none_logit=4.0)
    training = dataclasses.replace(
        config.training, steps=40, eval_every=20, valid_episodes=200
    )
    return dataclasses.replace(
        config,
        model=model,
        data=data,
        episodes=episodes,
        algorithm=algorithm,
        training=training,
    )


def none_of_the_above(
    config: config_lib.Config,
    run_dir: Path,
    console: Console,
    *,
    num_test: int = 200,
    num_valid: int = 10,
    tuned: bool = True,
) -> None:
    """Meta-trains and meta-tests with queries of none of the episode's relations."""
    workflows.train(config, run_dir, console)
    name = "baselines"
    meta_test(config, run_dir, console, name, num_test, num_valid, tuned=tuned)


def meta_test(
    config: config_lib.Config,
    run_dir: Path,
    console: Console,
    name: str,
    num_test: int,
    num_valid: int,
    *,
    tuned: bool = True,
) -> None:
    """Compares the run with baselines on episodes of the config's sizes."""
    baselines = {"frozen": frozen(config)}
    if tuned:
        baselines["fine-tuned"] = fine_tuned(config)
    common.against_baselines(
        run_dir,
        baselines,
        console,
        name=name,
        # A frozen encoder encodes a text once for all settings and episodes.
        valid_episodes={"frozen": 5 * num_valid, "fine-tuned": num_valid},
        episodes=config.episodes,
        evaluation=dataclasses.replace(config.evaluation, test_episodes=num_test),
    )


def frozen(config: config_lib.Config) -> list[common.Setting]:
    """Settings of class means with every single pooling and with the run's."""
    logits = none_logits(config)
    joined = common.frozen_settings(config, pooling=("mean",), none_logit=logits)
    single = common.frozen_settings(
        config,
        pooling=("entities", "mean", "first"),
        pair_encoding=("one_sequence",),
        none_logit=logits,
    )
    return [*(setting for setting in joined if setting not in single), *single]


def fine_tuned(config: config_lib.Config) -> list[common.Setting]:
    """Settings of fine-tuning from class means, with two poolings and two rates."""
    return common.fine_tuned_settings(
        config,
        pooling=("entities", "mean"),
        pair_encoding=("one_sequence",),
        none_logit=none_logits(config),
    )


def none_logits(config: config_lib.Config) -> tuple[float, ...]:
    """Candidate values of the logit of none, if the episodes have that class."""
    return NONE_LOGITS if config.episodes.none_rate else (0.0,)


if __name__ == "__main__":
    sys.exit(common.run_script(__file__, __doc__, experiment, options=options))
