"""Serialisation of learned tasks as safetensors."""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from metaflax import tree
from metaflax.config import AlgorithmConfig
from metaflax.workflows.learning._head_choice import HeadChoice
from metaflax.workflows.learning._learned_task import LearnedTask
from metaflax.workflows.learning._learner import Learner

# Keys in the header of safetensors, whose values are JSON.
CHOICE, ALGORITHM, META_TRAINED = "choice", "algorithm", "meta_trained_head"


class HeadSettings(NamedTuple):
    """Settings of a learner that tell its calibration, and how a task is evaluated.

    Attributes:
      algorithm: settings of the algorithm and of its head.
      meta_trained: whether the head was meta-trained.
    """

    algorithm: AlgorithmConfig
    meta_trained: bool

    @classmethod
    def of(cls, learner: Learner) -> "HeadSettings":
        """Returns the settings of a learner."""
        return cls(learner.config.algorithm, "head" in learner.params)


def to_bytes(learned: LearnedTask, learner: Learner) -> bytes:
    """Serialises the weights of a task, and the settings of its learner."""
    import safetensors.numpy

    settings = HeadSettings.of(learner)
    header: dict[str, Any] = {
        ALGORITHM: dataclasses.asdict(settings.algorithm),
        META_TRAINED: settings.meta_trained,
    }
    if learned.choice is not None:
        header[CHOICE] = learned.choice._asdict()
    leaves = jax.tree_util.tree_leaves_with_path(
        {"head": dict(learned.head), "encoder": learned.encoder}
    )
    return safetensors.numpy.save(
        {tree.path_name(path): np.ascontiguousarray(leaf) for path, leaf in leaves},
        {key: json.dumps(value) for key, value in header.items()},
    )


def from_bytes(
    content: bytes, names: Sequence[str], encoder: Any, uses_label_names: bool
) -> LearnedTask:
    """Reads the weights of a task.

    Args:
      content: result of `to_bytes`.
      names: class names of the task.
      encoder: parameters of the encoder that the task was learned with.
      uses_label_names: whether names of classes were support examples.

    Returns:
      The task.
    """
    import safetensors.numpy

    tensors, header = safetensors.numpy.load(content), _header(content)
    adapted = jax.tree_util.tree_map_with_path(
        lambda path, leaf: tensors.get(f"encoder/{tree.path_name(path)}"), encoder
    )
    head = {name: tensors[f"head/{name}"] for name in ("kernel", "bias")}
    choice = HeadChoice(**header[CHOICE]) if CHOICE in header else None
    return LearnedTask(tuple(names), head, adapted, uses_label_names, choice)


def settings(content: bytes) -> HeadSettings | None:
    """Reads the settings of the learner of a task.

    Args:
      content: result of `to_bytes`.

    Returns:
      The settings; None in a file of an earlier version, which did not store them.

    Raises:
      ValueError: if the settings are not those of this version.
    """
    header = _header(content)
    if ALGORITHM not in header:
        return None
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in header[ALGORITHM].items()
    }
    try:
        return HeadSettings(AlgorithmConfig(**values), header[META_TRAINED])
    except TypeError as error:
        raise ValueError(f"the settings are of another version ({error}).") from None


def _header(content: bytes) -> dict[str, Any]:
    """Reads the header, which `load` does not return."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size]).get("__metadata__", {})
    return {key: json.loads(value) for key, value in header.items()}
