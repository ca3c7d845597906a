"""Serialisation of learned tasks as safetensors."""

import json
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from metaflax import tree
from metaflax.few_shot._learned_task import LearnedTask
from metaflax.workflows.inference._head_choice import HeadChoice

# Key of the choice of the head in the header of safetensors.
CHOICE = "choice"


def to_bytes(learned: LearnedTask) -> bytes:
    """Serialises the weights of a task."""
    import safetensors.numpy

    choice = learned.choice
    metadata = {} if choice is None else {CHOICE: json.dumps(choice._asdict())}
    leaves = jax.tree_util.tree_leaves_with_path(
        {"head": dict(learned.head), "encoder": learned.encoder}
    )
    return safetensors.numpy.save(
        {tree.path_name(path): np.ascontiguousarray(leaf) for path, leaf in leaves},
        metadata,
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

    tensors = safetensors.numpy.load(content)
    adapted = jax.tree_util.tree_map_with_path(
        lambda path, leaf: tensors.get(f"encoder/{tree.path_name(path)}"), encoder
    )
    head = {name: tensors[f"head/{name}"] for name in ("kernel", "bias")}
    choice = _choice(content)
    return LearnedTask(tuple(names), head, adapted, uses_label_names, choice)


def _choice(content: bytes) -> HeadChoice | None:
    """Reads the choice of the head from the header, which `load` does not return."""
    size = int.from_bytes(content[:8], "little")
    choice = json.loads(content[8 : 8 + size]).get("__metadata__", {}).get(CHOICE)
    return None if choice is None else HeadChoice(**json.loads(choice))
