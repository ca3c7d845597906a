"""Comparison of a generative run with joint training and training from scratch."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments.common._baseline_grids import fine_tuned_settings
from experiments.common._baselines import against_baselines
from metaflax import config as config_lib
from metaflax import workflows

JOINT, SCRATCH = "joint", "from scratch"
# Test episodes of each training by itself; all methods are compared later.
FEW_TEST_EPISODES = 10


def against_joint(
    config: config_lib.Config,
    runs: Path,
    console: Console,
    *,
    joint: Mapping[str, Sequence[Any]],
    scratch: Mapping[str, Sequence[Any]],
    first: config_lib.Config | None = None,
    training: config_lib.TrainingConfig | None = None,
    valid_episodes: int = 20,
) -> dict[str, Any]:
    """Meta-trains, and compares with joint training and training from scratch.

    Two baselines are fine-tuned on the same support sets: a model trained jointly on
    all examples of meta-training, and the initial model. The settings of fine-tuning
    are selected on validation episodes.

    A model with random weights gives an inner loop nothing to improve on. It is better
    trained jointly first, and from there on in either way; and on other data than the
    run's, since a model learns nothing from a support set that it has memorised.

    Args:
      config: the config of the run.
      runs: the folder of `run`, `joint` and `joint-model` (the exported model), and of
        `first` and `first-model` where `first` is given.
      console: prints progress and tables.
      joint: candidate values of fields of `AlgorithmConfig`, to fine-tune the jointly
        trained model.
      scratch: candidate values to fine-tune the initial model.
      first: config of a joint training that precedes both; None for none.
      training: training settings of joint training (default: the run's).
      valid_episodes: number of validation episodes for each setting.

    Returns:
      The results of `against_baselines`.

    Raises:
      ValueError: if the config makes no run.
    """
    started = config
    if first is not None:
        started = _from(_joint_model(first, runs, "first", console), config)
    workflows.train(_with_few_test_episodes(started), runs / "run", console)
    longer = dataclasses.replace(started, training=training or config.training)
    _joint_model(longer, runs, JOINT, console)
    return compare_with_joint(
        config,
        runs,
        console,
        joint=joint,
        scratch=scratch,
        valid_episodes=valid_episodes,
    )


def compare_with_joint(
    config: config_lib.Config,
    runs: Path,
    console: Console,
    *,
    joint: Mapping[str, Sequence[Any]],
    scratch: Mapping[str, Sequence[Any]],
    **selection: Any,
) -> dict[str, Any]:
    """Compares the models that `against_joint` trained, with other adaptation settings.

    Args:
      config: as for `against_joint`.
      runs: the folder of runs of `against_joint`.
      console: prints selected settings and tables.
      joint: as for `against_joint`.
      scratch: as for `against_joint`.
      **selection: arguments of `against_baselines` on selecting settings.

    Returns:
      The results of `against_baselines`.

    Raises:
      ValueError: as `against_baselines`.
    """
    return against_baselines(
        runs / "run",
        {
            JOINT: _settings(_from(runs / f"{JOINT}-model", config), joint),
            SCRATCH: _settings(config, scratch),
        },
        console,
        evaluation=config.evaluation,
        **selection,
    )


def on_domains(
    config: config_lib.Config, names: Sequence[str], **training: Any
) -> config_lib.Config:
    """The config with other training domains and training settings.

    Args:
      config: a config with domains in `data.split_names`.
      names: the training domains.
      **training: fields of `TrainingConfig`.

    Returns:
      The config, with the same validation and test.
    """
    splits = {**(config.data.split_names or {}), "train": tuple(names)}
    return dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, split_names=splits),
        training=dataclasses.replace(config.training, **training),
    )


def jointly(config: config_lib.Config) -> config_lib.Config:
    """The config of joint training on the examples of the same episodes."""
    return dataclasses.replace(
        config,
        algorithm=dataclasses.replace(
            config.algorithm, name="joint", learned_rates=None
        ),
    )


def _with_few_test_episodes(config: config_lib.Config) -> config_lib.Config:
    evaluation = dataclasses.replace(config.evaluation, test_episodes=FEW_TEST_EPISODES)
    return dataclasses.replace(config, evaluation=evaluation)


def _joint_model(
    config: config_lib.Config, runs: Path, name: str, console: Console
) -> Path:
    """Trains jointly and exports the model beside the run."""
    workflows.train(jointly(_with_few_test_episodes(config)), runs / name, console)
    model = runs / f"{name}-model"
    return model if model.exists() else workflows.export(runs / name, model)


def _from(model: Path, config: config_lib.Config) -> config_lib.Config:
    """The config starting from another model."""
    return dataclasses.replace(
        config, model=dataclasses.replace(config.model, name=str(model))
    )


def _settings(
    config: config_lib.Config, choices: Mapping[str, Sequence[Any]]
) -> list[Any]:
    defaults = {"head": (None,), "adapts": (("*",),)}
    return fine_tuned_settings(config, **{**defaults, **choices})
