"""Saved context of a model adapted in context: support set, and keys and values."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metaflax import config as config_lib
from metaflax import data, tasks
from metaflax._wording import counted
from metaflax.models.generation._language_model import Context
from metaflax.models.layers._attention import KeyValues
from metaflax.models.pretrained import _files
from metaflax.workflows.inference._support_file import SUPPORT
from metaflax.workflows.learning._support_sets import support_set
from metaflax.workflows.runs._loaded_model import LoadedModel

# File of an adapted directory with the keys and values of its support set.
CONTEXT = "context.safetensors"


def context_tensors(context: Context) -> dict[str, np.ndarray]:
    """Returns the keys and values of a context by name, without its padding."""
    kept = np.asarray(context.mask).astype(bool)
    tensors = {
        f"layer_{number}.{name}": np.ascontiguousarray(np.asarray(part)[:, kept])
        for number, layer in enumerate(context.kept)
        for name, part in layer._asdict().items()
    }
    return {**tensors, "left_out": np.asarray(context.left_out)}


def load_context(
    model: LoadedModel, config: config_lib.DataConfig, task: tasks.TaskType
) -> Context:
    """Loads the context of an adapted directory, or encodes its support set.

    Args:
      model: the model of the directory, with room for the context.
      config: lengths of its texts.
      task: its task type.

    Raises:
      ValueError: if the directory holds no support set, or a damaged one.
    """
    directory = model.pretrained.directory
    if (directory / CONTEXT).is_file():
        return _stored_context(directory / CONTEXT)
    read = getattr(model.encoder.apply, "in_context", None)
    if read is None:
        raise ValueError(
            f"{directory} was adapted in context, and its model has no positions beside"
            " the longest text; lower max_new_tokens."
        )
    examples = data.read(directory / SUPPORT, task=task)
    names = list(model.pretrained.purpose.get("labels", ()))
    algorithm = config_lib.AlgorithmConfig(name="in_context")
    whole = config_lib.Config(data=config, algorithm=algorithm)
    support, _ = support_set(model, examples, names, whole, task, len(names))
    return jax.jit(read.read)(model.pretrained.params, support, None)


def left_out_notes(context: Context) -> list[str]:
    """Returns a sentence about support examples that the context has no room for."""
    left_out = int(context.left_out)
    if not left_out:
        return []
    examples = counted(left_out, "support example is", "support examples are")
    return [
        f"{examples} left out, since the model has no positions for them; give fewer or"
        " shorter ones, or lower max_length or max_target_length."
    ]


def _stored_context(path: Path) -> Context:
    tensors = _files.read_file(path)
    left_out = tensors.pop("left_out")
    layers: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        layer, part = name.removeprefix("layer_").split(".")
        layers.setdefault(int(layer), {})[part] = jnp.asarray(tensor)
    kept = tuple(KeyValues(**layers[number]) for number in sorted(layers))
    num_slots = kept[0].keys.shape[1]
    return Context(kept, jnp.ones(num_slots, bool), jnp.asarray(left_out))
