"""A run of a task type that generates, beside training on all of its data at once."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments.common._baseline_grids import fine_tuned_settings
from experiments.common._baselines import against_baselines
from metaflax import config as config_lib
from metaflax.workflows.inference._export import export
from metaflax.workflows.meta_training._train import train

JOINT, SCRATCH = "joint", "from scratch"
# Test episodes of each training itself; all are scored beside each other later.
OWN_EPISODES = 10


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
    """Meta-trains, and compares with what the same data and pairs give otherwise.

    Two baselines learn from the same support sets: a model that joint training has seen
    all of meta-training's examples, then fine-tuned; and the model that all begin with,
    fine-tuned from scratch. How each is fine-tuned is chosen on validation episodes.

    A model with random weights says nothing that an inner loop could improve on. Such
    a one is better trained jointly at first, and from there on in either way; and on
    other data than that of the run, since of texts that a model knows by heart it
    learns nothing from a support set.

    Args:
      config: of the run.
      runs: gets `run`, `joint`, and `joint-model`, which is that of the latter; and
        `first` and `first-model`, where there is one.
      console: gets progress and tables.
      joint: values to choose from of any field of `AlgorithmConfig`, to fine-tune what
        joint training made.
      scratch: the same, to fine-tune the model that all begin with.
      first: the run of joint training that both the run and joint training start from,
        whatever algorithm it names; None for none.
      training: how joint training goes, where it differs from the run's.
      valid_episodes: how many a choice is judged on.

    Returns:
      What `against_baselines` does.

    Raises:
      ValueError: if the config makes no run.
    """
    started = config
    if first is not None:
        started = _from(_joint_model(first, runs, "first", console), config)
    train(_hardly_tested(started), runs / "run", console)
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
    **choice: Any,
) -> dict[str, Any]:
    """Compares what `against_joint` has trained, and perhaps adapts it otherwise.

    Args:
      config: as for `against_joint`.
      runs: where it left its runs.
      console: gets the choices and tables.
      joint: as for `against_joint`.
      scratch: the same.
      **choice: of `against_baselines`, how settings are chosen.

    Returns:
      What `against_baselines` does.

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
        **choice,
    )


def on_domains(
    config: config_lib.Config, names: Sequence[str], **training: Any
) -> config_lib.Config:
    """The config, learning from other domains and for another time.

    Args:
      config: one that names its domains in `data.split_names`.
      names: of the domains.
      **training: any fields of `TrainingConfig` that differ.

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
            config.algorithm, algorithm="joint", learned_rates=None
        ),
    )


def _hardly_tested(config: config_lib.Config) -> config_lib.Config:
    evaluation = dataclasses.replace(config.evaluation, test_episodes=OWN_EPISODES)
    return dataclasses.replace(config, evaluation=evaluation)


def _joint_model(
    config: config_lib.Config, runs: Path, name: str, console: Console
) -> Path:
    """The model of a run of joint training, which is left beside it."""
    train(jointly(_hardly_tested(config)), runs / name, console)
    model = runs / f"{name}-model"
    return model if model.exists() else export(runs / name, model)


def _from(model: Path, config: config_lib.Config) -> config_lib.Config:
    """The config, beginning with another model."""
    return dataclasses.replace(
        config, model=dataclasses.replace(config.model, model=str(model))
    )


def _settings(
    config: config_lib.Config, choices: Mapping[str, Sequence[Any]]
) -> list[Any]:
    usual = {"head": (None,), "adapts": (("*",),)}
    return fine_tuned_settings(config, **{**usual, **choices})
