"""Pretrained language models: read, and written back for Hugging Face."""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from metaflax.models._bert_config import BertConfig
from metaflax.models._gpt_config import GPTConfig
from metaflax.models._seq2seq_config import Seq2SeqConfig
from metaflax.models.pretrained import (
    _files,
    _gpt_names,
    _places,
    _save,
    _seq2seq_names,
)

Config = TypeVar("Config", BertConfig, GPTConfig, Seq2SeqConfig)


class PretrainedLanguageModel(NamedTuple, Generic[Config]):
    """A checkpoint that says words, every tensor of it accounted for.

    Attributes:
      config: the network.
      params: its parameters, float32.
      directory: where the files lie, the tokenizer's among them.
      ignored: names of tensors that were left out: buffers, what is tied to others,
        and what this network does not read.
    """

    config: Config
    params: Any
    directory: Path
    ignored: tuple[str, ...] = ()


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
    config = _config(directory, GPTConfig.from_dict)
    rename = functools.partial(_gpt_names.rename, config)
    params, ignored = _places.read(directory, _gpt_names.targets(config), rename)
    return PretrainedLanguageModel(config, params, directory, ignored)


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
    config = _config(directory, Seq2SeqConfig.from_dict)
    targets = _seq2seq_names.targets(config)
    params, ignored = _places.read(directory, targets, _seq2seq_names.rename)
    return PretrainedLanguageModel(config, params, directory, ignored)


def save_gpt(
    directory: str | Path,
    config: GPTConfig,
    params: Any,
    *,
    tokenizer_from: str | Path,
) -> None:
    """Writes a directory that transformers reads as `GPT2LMHeadModel`, and `load_gpt`.

    The directory appears whole or not at all.

    Args:
      directory: which must not exist yet, or be empty.
      config: the network.
      params: its parameters; low-rank factors go through `merge_lora` first, adapters
        have no place in Hugging Face's class.
      tokenizer_from: the directory whose tokenizer files are copied.

    Raises:
      ValueError: if the directory holds anything, there are no tokenizer files, or
        parameters do not fit the configuration.
    """
    target = _unused(directory)
    tensors = _places.tensors_of(params, _gpt_names.targets(config))
    tensors = {_gpt_names.file_name(name): tensor for name, tensor in tensors.items()}
    content = {"architectures": ["GPT2LMHeadModel"], **config.to_dict()}
    _write(target, content, tensors, tokenizer_from)


def save_seq2seq(
    directory: str | Path,
    config: Seq2SeqConfig,
    params: Any,
    *,
    tokenizer_from: str | Path,
) -> None:
    """Writes a directory that transformers reads as `EncoderDecoderModel`.

    So does `load_seq2seq`. The directory appears whole or not at all. The encoder's
    pooler, which that class has and does not read, is written as zeros.

    Args:
      directory: which must not exist yet, or be empty.
      config: the networks.
      params: their parameters; low-rank factors go through `merge_lora` first, adapters
        have no place in Hugging Face's class.
      tokenizer_from: the directory whose tokenizer files are copied.

    Raises:
      ValueError: as `save_gpt`.
    """
    target = _unused(directory)
    tensors = _places.tensors_of(params, _seq2seq_names.targets(config))
    for name, shape in _seq2seq_names.unread(config).items():
        tensors[name] = np.zeros(shape, np.float32)
    content = {"architectures": ["EncoderDecoderModel"], **config.to_dict()}
    _write(target, content, tensors, tokenizer_from)


def _config(
    directory: Path, from_dict: Callable[[Mapping[str, Any]], Config]
) -> Config:
    raw = _files.read_json(directory / "config.json")
    try:
        return from_dict(raw)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{directory / 'config.json'}: {error}") from error


def _unused(directory: str | Path) -> Path:
    target = Path(directory).expanduser()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ValueError(f"{target} exists already; name a new directory")
    return target


def _write(
    target: Path,
    content: Mapping[str, Any],
    tensors: dict[str, np.ndarray],
    tokenizer_from: str | Path,
) -> None:
    tokenizer_files = _save._tokenizer_files(Path(tokenizer_from).expanduser())
    content = {**content, "dtype": "float32"}
    _save._write(target, content, {_files.WEIGHTS: tensors}, tokenizer_files)
