"""Grids of baseline settings around a run's config."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from metaflax import config as config_lib


class Setting(NamedTuple):
    """One way to run a baseline.

    Attributes:
      model: the pretrained encoder and its pooling.
      algorithm: how it adapts.
    """

    model: config_lib.ModelConfig
    algorithm: config_lib.AlgorithmConfig


def frozen_settings(
    config: config_lib.Config, **choices: Sequence[Any]
) -> list[Setting]:
    """Builds settings of a frozen pretrained encoder with a head fitted per task.

    Args:
      config: the run's config; fields that no choice names keep its values.
      **choices: values to try of any field of `ModelConfig` or `AlgorithmConfig`,
        whose names are given as `model` and `algorithm`. `pooling` is the mean of
        tokens or the first one unless given, `head` the algorithm's default: class
        means, or ridge regression for numbers.

    Returns:
      One setting for each combination, for `against_baselines` to choose from.

    Raises:
      ValueError: if there is no such field, or its values are not a sequence.

    Examples:
      >>> settings = frozen_settings(config_lib.Config(), head=("prototypes", "ridge"))
      >>> for model, algorithm in settings:
      ...     print(model.pooling, algorithm.name, algorithm.head)
      mean frozen prototypes
      mean frozen ridge
      first frozen prototypes
      first frozen ridge
    """
    defaults = {"algorithm": ["frozen"], "pooling": ["mean", "first"], "head": [None]}
    return _grid(config, {**defaults, **choices})


def fine_tuned_settings(
    config: config_lib.Config, **choices: Sequence[Any]
) -> list[Setting]:
    """Builds settings of fine-tuning on each support set from pretrained weights.

    Unless choices say otherwise, five steps of Adam change all but the word
    embeddings, with a rate of 1e-4 or 3e-4, and the head starts from class means.

    Args:
      config: the run's config; fields that no choice names keep its values.
      **choices: values to try of any field of `ModelConfig` or `AlgorithmConfig`,
        whose names are given as `model` and `algorithm`.

    Returns:
      One setting for each combination, for `against_baselines` to choose from.

    Raises:
      ValueError: if there is no such field, or its values are not a sequence.

    Examples:
      >>> settings = fine_tuned_settings(
      ...     config_lib.Config(), pooling=("mean", "first"), num_steps=(10,)
      ... )
      >>> for model, algorithm in settings:
      ...     print(model.pooling, algorithm.inner_learning_rate, algorithm.num_steps)
      mean 0.0001 10
      mean 0.0003 10
      first 0.0001 10
      first 0.0003 10
    """
    defaults = {
        "algorithm": ["fine_tuning"],
        "pooling": [config.model.pooling],
        "head": ["prototypes"],
        "adapts": [("*", "!encoder/embeddings")],
        "inner_optimizer": ["adam"],
        "inner_learning_rate": [1e-4, 3e-4],
        "learned_rates": [None],
        "num_steps": [5],
    }
    return _grid(config, {**defaults, **choices})


def _grid(
    config: config_lib.Config, choices: Mapping[str, Sequence[Any]]
) -> list[Setting]:
    """Builds every combination, the last choice varying fastest."""
    of_model = _fields("model", config.model)
    of_algorithm = _fields("algorithm", config.algorithm)
    for name, values in choices.items():
        if name not in of_model | of_algorithm:
            known = ", ".join(of_model | of_algorithm)
            raise ValueError(f"unknown setting {name!r}; known: {known}.")
        if isinstance(values, str) or not isinstance(values, Sequence):
            raise ValueError(
                f"{name} is {values!r}; give a sequence of the values to choose from."
            )
    settings = []
    for values in itertools.product(*choices.values()):
        fields = dict(zip(choices, values, strict=True))
        settings.append(
            Setting(
                dataclasses.replace(
                    config.model,
                    **{of_model[k]: v for k, v in fields.items() if k in of_model},
                ),
                dataclasses.replace(
                    config.algorithm,
                    **{
                        of_algorithm[k]: v
                        for k, v in fields.items()
                        if k in of_algorithm
                    },
                ),
            )
        )
    return settings


def _fields(group: str, settings: Any) -> dict[str, str]:
    """Fields of a group of settings, by the names of their command-line options."""
    return {group if name == "name" else name: name for name in vars(settings)}
