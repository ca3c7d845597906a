"""Weight files of BERT encoders, with the head of a sequence classifier or without."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import chex
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from metaflax.models.families._contract import Contents, Files
from metaflax.models.families.bert import _fold
from metaflax.models.families.bert import _weight_names as _bert_names
from metaflax.models.families.bert._config import BertConfig
from metaflax.models.layers import _extra_parameters as _extras
from metaflax.models.layers import _pooling
from metaflax.models.pretrained import _account, _directory, _files

_CLASSIFIER = "BertForSequenceClassification"
# Poolings that keep more of a text than one vector, which no weights can make of it.
_UNFOLDED = ("entities", "tokens")


def read(directory: Path, content: Mapping[str, Any], config: BertConfig) -> Contents:
    """Reads weights, and the head of a sequence classifier."""
    tensors, twice = {}, []
    for name, tensor in _files.read_tensors(directory).items():
        twice += [name] if _bert_names.clean(name) in tensors else []
        tensors[_bert_names.clean(name)] = tensor
    if twice:
        raise ValueError(f"{directory} holds {twice[0]} under two names")

    path = directory / "config.json"
    classifies = _CLASSIFIER in _architectures(content, path)
    ignored = _bert_names.IGNORED + (() if classifies else (_bert_names.CLASSIFIER,))
    left_out = tuple(sorted(name for name in tensors if name.startswith(ignored)))
    kept = {name: t for name, t in tensors.items() if name not in left_out}

    places = _bert_names.places(
        config, pooler=any(n.startswith("pooler.") for n in kept)
    )
    labels = _directory.labels_of(content, path) if classifies else None
    if labels is not None:
        places |= _bert_names.head_places(config, len(labels))
    _account.check(places, kept, directory)
    params = traverse_util.unflatten_dict(
        {place.path: _leaf(kept[name], place) for name, place in places.items()},
        sep="/",
    )
    head = params.pop("head", None)
    return Contents(params, left_out, head, labels)


def write(
    config: BertConfig,
    params: Any,
    head: Mapping[str, Any] | None,
    pooling: str,
    standardize: bool,
) -> Files:
    """Lays out weights, with the head folded in if Hugging Face's class can have it."""
    _check_plain(params)
    if head is None:
        return Files(config, _tensors(config, params, None), None, "BertModel")
    _check_head(config, head, pooling)
    if pooling in _UNFOLDED:
        return Files(config, _tensors(config, params, None), head, "BertModel")
    folded = _fold.fold(config, params, head, pooling=pooling, standardize=standardize)
    return Files(folded.config, _tensors(*folded), None, _CLASSIFIER)


def _architectures(content: Mapping[str, Any], path: Path) -> list[Any]:
    names = content.get("architectures") or []
    if not isinstance(names, list):
        raise ValueError(f"{path}: architectures={names!r:.60} is no list")
    return names


def _leaf(tensor: np.ndarray, place: _account.Place) -> chex.Array:
    wide = tensor.astype(np.float32)
    return jnp.asarray(np.ascontiguousarray(wide.T) if place.transposed else wide)


def _check_plain(params: Any) -> None:
    """Refuses leaves that were added to BERT's.

    Raises:
      ValueError: naming them, and what to do.
    """
    paths = sorted(_extras.flatten(params))
    lora = [p for p in paths if _extras.part_of(p, _extras.LORA)]
    others = [
        path
        for path in paths
        if any(_extras.part_of(path, n) for n in (_extras.ADAPTER, _extras.CONTEXT))
    ]
    ways_out = [
        *(["fold low-rank factors in with models.merge_lora(params)"] if lora else []),
        *(["save before with_adapters and with_context"] if others else []),
    ]
    if ways_out:
        raise ValueError(
            "Hugging Face's BertModel has no place for"
            f" {' or '.join(_extras.listed(p) for p in (lora, others) if p)};"
            f" {', and '.join(ways_out)}"
        )


def _check_head(config: BertConfig, head: Mapping[str, Any], pooling: str) -> None:
    shapes = {name: np.shape(leaf) for name, leaf in head.items()}
    num_labels = (shapes.get("bias") or (0,))[0]
    width = _pooling.num_features(pooling, config.hidden_size)
    expected = {"kernel": (width, num_labels), "bias": (num_labels,)}
    if shapes != expected or not num_labels:
        raise ValueError(
            f"a head has a kernel [{width}, N] and a bias [N], got {shapes}"
        )


def _tensors(
    config: BertConfig, params: Any, head: Mapping[str, Any] | None
) -> dict[str, np.ndarray]:
    """Returns tensors under Hugging Face's names, all of them accounted for."""
    places = _bert_names.places(config, pooler="pooler" in params)
    prefix = "" if head is None else "bert."
    places = {prefix + name: place for name, place in places.items()}
    tree = dict(params)
    if head is not None:
        tree["head"] = head
        places |= _bert_names.head_places(config, np.shape(head["bias"])[0])

    names = {place.path: name for name, place in places.items()}
    turned = {place.path for place in places.values() if place.transposed}
    tensors = {}
    for path, leaf in traverse_util.flatten_dict(tree, sep="/").items():
        array = np.asarray(leaf)
        tensors[names.get(path, path)] = array.T if path in turned else array
    tensors = _directory.contiguous(tensors)
    _account.check(places, tensors, "the parameter tree")
    return tensors
