"""A run of a task type that generates, beside training on all of its data at once."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from metaflax import config as config_lib
from metaflax.workflows._adapt_speaker import export
from metaflax.workflows._baselines import against_baselines
from metaflax.workflows._settings import fine_tuned_settings
from metaflax.workflows._train import train

JOINT, SCRATCH = "joint", "from scratch"


def against_joint(
    config: config_lib.Config,
    runs: Path,
    console: Console,
    *,
    joint: Mapping[str, Sequence[Any]],
    scratch: Mapping[str, Sequence[Any]],
    training: config_lib.TrainingConfig | None = None,
    valid_episodes: int = 20,
) -> dict[str, Any]:
    """Meta-trains, and compares with what the same data and pairs give otherwise.

    Two baselines learn from the same support sets: a model that joint training has seen
    all of meta-training's examples, then fine-tuned; and the model that all begin with,
    fine-tuned from scratch. How each is fine-tuned is chosen on validation episodes.

    Args:
      config: of the run.
      runs: gets `run`, `joint`, and `joint-model`, which is that of the latter.
      console: gets progress and tables.
      joint: values to choose from of any field of `AlgorithmConfig`, to fine-tune what
        joint training made.
      scratch: the same, to fine-tune the model that all begin with.
      training: how joint training goes, where it differs from the run's.
      valid_episodes: how many a choice is judged on.

    Returns:
      What `against_baselines` does.

    Raises:
      ValueError: if the config makes no run.
    """
    train(config, runs / "run", console)
    train(jointly(config, training), runs / "joint", console)
    model = runs / "joint-model"
    if not model.exists():
        export(runs / "joint", model)
    return against_baselines(
        runs / "run",
        {
            JOINT: _settings(config, str(model), joint),
            SCRATCH: _settings(config, config.model.model, scratch),
        },
        console,
        valid_episodes=valid_episodes,
    )


def jointly(
    config: config_lib.Config, training: config_lib.TrainingConfig | None = None
) -> config_lib.Config:
    """The config of joint training on the examples of the same episodes."""
    algorithm = dataclasses.replace(config.algorithm, algorithm="joint")
    return dataclasses.replace(
        config, algorithm=algorithm, training=training or config.training
    )


def _settings(
    config: config_lib.Config, model: str, choices: Mapping[str, Sequence[Any]]
) -> list[Any]:
    usual = {"head": (None,), "adapts": (("*",),)}
    return fine_tuned_settings(config, **{**usual, "model": (model,), **choices})
