"""Pretrained weights into parameter trees."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import chex
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from metaflax.models.families.bert import _weight_names as _bert_names
from metaflax.models.families.bert._config import BertConfig
from metaflax.models.families.bert._encoder import Pooling
from metaflax.models.pretrained import _account, _files


class Pretrained(NamedTuple):
    """A checkpoint, every tensor of which is accounted for.

    Attributes:
      config: the network.
      params: its parameters, float32; with `pooler` if the checkpoint has one.
      directory: where the files lie, the tokenizer's among them.
      head: `{"kernel": [D, N], "bias": [N]}` of a checkpoint that classifies
        sequences or has one from `save`, None otherwise.
      labels: the N class names of that head, None where there is none.
      ignored: names of tensors that were left out: buffers, and heads of other tasks.
      problem_type: what Hugging Face's configuration says of that head's targets.
      pooling: what the head reads.
      standardize: whether it reads standardised features.
      task: what `save` was told that the model is for.
    """

    config: BertConfig
    params: Any
    directory: Path
    head: Mapping[str, chex.Array] | None = None
    labels: tuple[str, ...] | None = None
    ignored: tuple[str, ...] = ()
    problem_type: str | None = None
    pooling: Pooling = "pooler"
    standardize: bool = False
    task: str | None = None


def load(path_or_name: str | Path) -> Pretrained:
    """Loads a BERT from a directory, or by its name on the Hugging Face hub.

    Weights are safetensors, or else files of torch (`pytorch_model.bin`), in one file
    or in shards; nothing in them is executed. Half precision becomes float32.

    Args:
      path_or_name: a local directory, or a name on the Hugging Face hub.

    Returns:
      The `Pretrained` model.

    Raises:
      ValueError: if the files cannot be had or are damaged, if the configuration
        asks for what the network does not do, or if tensors are missing, unexpected
        or of another shape, all of which it names.
    """
    directory = _files.find(path_or_name)
    raw = _files.read_json(directory / "config.json")
    try:
        config = BertConfig.from_dict(raw)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{directory / 'config.json'}: {error}") from error

    tensors, twice = {}, []
    for name, tensor in _files.read_tensors(directory).items():
        twice += [name] if _bert_names.clean(name) in tensors else []
        tensors[_bert_names.clean(name)] = tensor
    if twice:
        raise ValueError(f"{directory} holds {twice[0]} under two names")

    classifies = "BertForSequenceClassification" in _architectures(raw, directory)
    ignored = _bert_names.IGNORED + (() if classifies else (_bert_names.CLASSIFIER,))
    left_out = tuple(sorted(name for name in tensors if name.startswith(ignored)))
    kept = {name: t for name, t in tensors.items() if name not in left_out}

    places = _bert_names.places(
        config, pooler=any(n.startswith("pooler.") for n in kept)
    )
    labels = _labels(raw, directory) if classifies else None
    if labels is not None:
        places |= _bert_names.head_places(config, len(labels))
    _account.check(places, kept, directory)
    params = traverse_util.unflatten_dict(
        {place.path: _ours(kept[name], place) for name, place in places.items()},
        sep="/",
    )
    head = params.pop("head", None)
    ours = _files.ours(raw, directory / "config.json")
    if "pooling" in ours:
        held = _files.read_file(directory / _files.HEAD)
        head = {name: jnp.asarray(tensor) for name, tensor in held.items()}
        labels = _labels(raw, directory)
    return Pretrained(
        config,
        params,
        directory,
        head,
        labels,
        left_out,
        raw.get("problem_type"),
        ours.get("pooling", "pooler"),
        ours.get("standardize", False),
        ours.get("task"),
    )


def _architectures(raw: Mapping[str, Any], directory: Path) -> list[Any]:
    names = raw.get("architectures") or []
    if not isinstance(names, list):
        raise ValueError(
            f"{directory / 'config.json'}: architectures={names!r:.60} is no list"
        )
    return names


def _labels(raw: Mapping[str, Any], directory: Path) -> tuple[str, ...]:
    """The class names in order, as Hugging Face's configuration has them."""
    # Without names there are two classes, as in transformers.
    names = raw.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}
    try:
        numbered = {int(number): str(name) for number, name in names.items()}
    except (AttributeError, ValueError) as error:
        raise ValueError(
            f"{directory / 'config.json'}: id2label={names!r} does not number classes"
        ) from error
    if sorted(numbered) != list(range(len(numbered))):
        raise ValueError(
            f"{directory / 'config.json'}: id2label numbers classes"
            f" {sorted(numbered)}, not 0 to {len(numbered) - 1}"
        )
    return tuple(numbered[i] for i in range(len(numbered)))


def _ours(tensor: np.ndarray, place: _account.Place) -> chex.Array:
    wide = tensor.astype(np.float32)
    return jnp.asarray(np.ascontiguousarray(wide.T) if place.transposed else wide)
