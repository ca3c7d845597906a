"""Settings of an algorithm that a run does not use."""

import dataclasses
from typing import Any

from metaflax import base, models
from metaflax.config._algorithm_settings import AlgorithmConfig
from metaflax.config._factories import (
    algorithm_parts,
    build_head,
    build_task,
    head_name,
    resolve_algorithm,
)
from metaflax.config._settings import Config

# Settings by the part of an algorithm that they make.
_OF_PARTS = {
    "adapts": ("adapts",),
    "inner_optimizer": ("inner_optimizer", "inner_learning_rate"),
    "learning_rate": ("inner_learning_rate",),
    "num_steps": ("num_steps", "eval_num_steps"),
    "proximal": ("proximal",),
}
# Settings that always have an effect, or are refused where they have none.
_NEVER_UNUSED = ("name", "head", "learned_rates", "micro_batch_size", "calibrate")


def unused_notes(
    config: Config, encoder: models.Encoder, init_fn: base.InitFn
) -> list[str]:
    """Notes settings of the algorithm that were changed and have no effect.

    Head, task type and algorithm, including those of a user's package, are built once
    from settings that record which of them are read.

    Args:
      config: settings that `check` passes.
      encoder: the encoder that they are for.
      init_fn: function that returns its parameters, which is not called.

    Returns:
      A sentence for each such setting.
    """
    usual, settings = AlgorithmConfig(), config.algorithm
    read = _read(config, encoder, init_fn)
    names = (field.name for field in dataclasses.fields(usual))
    concerned = [name for name in names if name not in _NEVER_UNUSED]
    task, reader = build_task(config), settings.name
    if task.template is None:  # Else the model has an output layer of its own.
        reader += f" with the head {head_name(settings, task)}"
    return [
        f"{name} is {getattr(settings, name)}, which has no effect: neither"
        f" {reader} nor the task type {config.data.task} reads it."
        for name in concerned
        if name not in read and getattr(settings, name) != getattr(usual, name)
    ]


def _read(config: Config, encoder: models.Encoder, init_fn: base.InitFn) -> set[str]:
    """Returns the names of the settings of the algorithm that are read."""
    settings: Any = _Recorded(config.algorithm)
    task = build_task(dataclasses.replace(config, algorithm=settings))
    head = build_head(settings, encoder.num_features, task, 2)
    parts: Any = _Recorded(
        algorithm_parts(
            config.algorithm, encoder.apply, init_fn, task, task.complete(head)
        )
    )
    resolve_algorithm(config.algorithm.name).build(parts)
    of_parts = (_OF_PARTS.get(name, ()) for name in parts.read)
    return settings.read.union(*of_parts)


class _Recorded:
    """An object, with the names of its attributes that were read."""

    def __init__(self, target: Any):
        self._target, self.read = target, set[str]()

    def __getattr__(self, name: str) -> Any:
        self.read.add(name)
        return getattr(self._target, name)
