"""Pretrained language models: read, and written back for Hugging Face."""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, TypeVar

import jax.numpy as jnp
import numpy as np

from metaflax.files import check_absent
from metaflax.models.families.bert._config import BertConfig
from metaflax.models.families.encoder_decoder import _weight_names as _seq2seq_names
from metaflax.models.families.encoder_decoder._config import Seq2SeqConfig
from metaflax.models.families.gpt2 import _weight_names as _gpt_names
from metaflax.models.families.gpt2._config import GPTConfig
from metaflax.models.layers import _extra_parameters as _extras
from metaflax.models.pretrained import _files, _places, _save

Config = TypeVar("Config", BertConfig, GPTConfig, Seq2SeqConfig)


class PretrainedLanguageModel(NamedTuple, Generic[Config]):
    """A checkpoint that says words, every tensor of it accounted for.

    Attributes:
      config: the network.
      params: its parameters, float32.
      directory: where the files lie, the tokenizer's among them.
      ignored: names of tensors that were left out: buffers, what is tied to others,
        and what this network does not read.
      purpose: what `save_gpt` or `save_seq2seq` was told that the model is for.
    """

    config: Config
    params: Any
    directory: Path
    ignored: tuple[str, ...] = ()
    purpose: Mapping[str, Any] = MappingProxyType({})


def load_language_model(path_or_name: str | Path) -> PretrainedLanguageModel[Any]:
    """Loads whichever language model a directory holds, or the hub has by that name.

    Args:
      path_or_name: a local directory, or a name on the Hugging Face hub.

    Returns:
      The model, for `gpt` or `seq2seq`, as its `config` is of one or the other.

    Raises:
      ValueError: if the model says no texts, and as `load_gpt`.
    """
    directory = _files.find(path_or_name)
    kind = _files.read_json(directory / "config.json").get("model_type")
    loaders = {"gpt2": load_gpt, "encoder-decoder": load_seq2seq}
    if kind not in loaders:
        raise ValueError(
            f"{directory} holds a model of type {kind!r}, which says no texts; give a"
            f" directory or hub name of one of {', '.join(loaders)}, or make a new"
            " model with `metaflax new`"
        )
    return loaders[kind](directory)


def is_language_model(path_or_name: str | Path) -> bool:
    """Whether a directory, or what the hub has by a name, says texts.

    Raises:
      ValueError: if the files cannot be had.
    """
    directory = _files.find(path_or_name)
    kind = _files.read_json(directory / "config.json").get("model_type")
    return kind in ("gpt2", "encoder-decoder")


def load_gpt(path_or_name: str | Path) -> PretrainedLanguageModel[GPTConfig]:
    """Loads a GPT-2 from a directory, or by its name on the Hugging Face hub.

    Only safetensors are read, in one file or in shards; half precision becomes
    float32.

    Args:
      path_or_name: a local directory, or a name on the Hugging Face hub.

    Returns:
      The model, for `gpt`.

    Raises:
      ValueError: if the files cannot be had or are damaged, if the configuration
        asks for what the network does not do, or if tensors are missing, unexpected
        or of another shape, all of which it names.
    """
    directory = _files.find(path_or_name)
    config, purpose = _config(directory, GPTConfig.from_dict)
    rename = functools.partial(_gpt_names.rename, config)
    params, ignored = _places.read(directory, _gpt_names.targets(config), rename)
    params = _with_prefix(params, directory)
    return PretrainedLanguageModel(config, params, directory, ignored, purpose)


def load_seq2seq(path_or_name: str | Path) -> PretrainedLanguageModel[Seq2SeqConfig]:
    """Loads two BERTs that read and say, as `load_gpt` does a GPT-2.

    Args:
      path_or_name: a local directory, or a name on the Hugging Face hub.

    Returns:
      The model, for `seq2seq`.

    Raises:
      ValueError: as `load_gpt`.
    """
    directory = _files.find(path_or_name)
    config, purpose = _config(directory, Seq2SeqConfig.from_dict)
    targets = _seq2seq_names.targets(config)
    params, ignored = _places.read(directory, targets, _seq2seq_names.rename)
    params = _with_prefix(params, directory)
    return PretrainedLanguageModel(config, params, directory, ignored, purpose)


def save_gpt(
    directory: str | Path,
    config: GPTConfig,
    params: Any,
    *,
    tokenizer_from: str | Path,
    purpose: Mapping[str, Any] | None = None,
) -> None:
    """Writes a directory that transformers reads as `GPT2LMHeadModel`, and `load_gpt`.

    The directory appears whole or not at all.

    Args:
      directory: which must not exist yet, or be empty.
      config: the network.
      params: its parameters; low-rank factors go through `merge_lora` first, adapters
        have no place in Hugging Face's class. Prefixes have none either, and go to a
        file of their own, which `load_gpt` alone reads.
      tokenizer_from: the directory whose tokenizer files are copied.
      purpose: what the model is for, kept as it is for whoever loads it.

    Raises:
      ValueError: if the directory holds anything, there are no tokenizer files, or
        parameters do not fit the configuration.
    """
    target = _unused(directory)
    plain, prefix = _parted(params)
    tensors = _places.tensors_of(plain, _gpt_names.targets(config))
    tensors = {_gpt_names.file_name(name): tensor for name, tensor in tensors.items()}
    content = {"architectures": ["GPT2LMHeadModel"], **config.to_dict()}
    _write(target, content | _ours(purpose), tensors, prefix, tokenizer_from)


def save_seq2seq(
    directory: str | Path,
    config: Seq2SeqConfig,
    params: Any,
    *,
    tokenizer_from: str | Path,
    purpose: Mapping[str, Any] | None = None,
) -> None:
    """Writes a directory that transformers reads as `EncoderDecoderModel`.

    So does `load_seq2seq`. The directory appears whole or not at all. The encoder's
    pooler, which that class has and does not read, is written as zeros.

    Args:
      directory: which must not exist yet, or be empty.
      config: the networks.
      params: their parameters; low-rank factors go through `merge_lora` first, adapters
        have no place in Hugging Face's class. Prefixes have none either, and go to a
        file of their own, which `load_seq2seq` alone reads.
      tokenizer_from: the directory whose tokenizer files are copied.
      purpose: what the model is for, kept as it is for whoever loads it.

    Raises:
      ValueError: as `save_gpt`.
    """
    target = _unused(directory)
    plain, prefix = _parted(params)
    tensors = _places.tensors_of(plain, _seq2seq_names.targets(config))
    for name, shape in _seq2seq_names.unread(config).items():
        tensors[name] = np.zeros(shape, np.float32)
    content = {"architectures": ["EncoderDecoderModel"], **config.to_dict()}
    _write(target, content | _ours(purpose), tensors, prefix, tokenizer_from)


def _config(
    directory: Path, from_dict: Callable[[Mapping[str, Any]], Config]
) -> tuple[Config, Mapping[str, Any]]:
    raw = _files.read_json(directory / "config.json")
    try:
        return from_dict(raw), _files.ours(raw, directory / "config.json")
    except (ValueError, TypeError) as error:
        raise ValueError(f"{directory / 'config.json'}: {error}") from error


def _unused(directory: str | Path) -> Path:
    target = Path(directory).expanduser()
    check_absent(target)
    return target


def _ours(purpose: Mapping[str, Any] | None) -> dict[str, Any]:
    return {_files.OURS: dict(purpose)} if purpose else {}


def _write(
    target: Path,
    content: Mapping[str, Any],
    tensors: dict[str, np.ndarray],
    prefix: dict[str, np.ndarray],
    tokenizer_from: str | Path,
) -> None:
    tokenizer_files = _save._tokenizer_files(Path(tokenizer_from).expanduser())
    content = {**content, "dtype": "float32"}
    files = {_files.WEIGHTS: tensors} | ({_files.PREFIX: prefix} if prefix else {})
    _save._write(target, content, files, tokenizer_files)


def _parted(params: Any) -> tuple[Any, dict[str, np.ndarray]]:
    """The network that Hugging Face knows, and prefixes by their paths."""
    flat = _extras.flatten(params)
    prefix = {p: x for p, x in flat.items() if _extras.part_of(p, _extras.PREFIX)}
    plain = {path: leaf for path, leaf in flat.items() if path not in prefix}
    return _extras.unflatten(plain), _save._contiguous(prefix)


def _with_prefix(params: Any, directory: Path) -> Any:
    """The parameters, with the prefixes that were saved beside them."""
    if not (directory / _files.PREFIX).is_file():
        return params
    prefix = _files.read_file(directory / _files.PREFIX)
    return _extras.unflatten(
        _extras.flatten(params) | {path: jnp.asarray(x) for path, x in prefix.items()}
    )
