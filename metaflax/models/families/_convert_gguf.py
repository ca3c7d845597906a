"""Conversion of files of the format GGUF into Hugging Face's."""

import json
from pathlib import Path
from typing import Any, Literal

import jax.numpy as jnp

from metaflax._files import atomic_folder
from metaflax.models.families._family import ModelFamily
from metaflax.models.families._registry import FAMILIES
from metaflax.models.pretrained import _account, _directory, _files, _gguf, _stream
from metaflax.models.pretrained._gguf import GGUF
from metaflax.models.pretrained._gguf_tokenizer import tokenizer_of

_KINDS: dict[str, tuple[str, Any]] = {
    "float32": ("F32", jnp.float32),
    "bfloat16": ("BF16", jnp.bfloat16),
}


def convert_gguf(
    path: str | Path,
    directory: str | Path,
    *,
    dtype: Literal["float32", "bfloat16"] = "float32",
) -> None:
    """Writes the model of a GGUF file as a directory that `load` reads.

    Weights are dequantised one tensor at a time, so that no more than one is held; the
    tokenizer is made from the metadata of the file. The directory appears whole or not
    at all, and transformers reads it too.

    Args:
      path: path of the file, of a Llama, Mistral, SmolLM2, Qwen2 or Qwen3.
      directory: directory to write, which must not exist or be empty.
      dtype: dtype of the written weights.

    Raises:
      ValueError: if the package `gguf` is missing, the file is damaged, or its network,
        quantisation or tokenizer is of an unknown kind, all of which it names.

    Examples:
      >>> import pathlib, tempfile
      >>> from metaflax import models
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = pathlib.Path(folder) / "model.gguf"
      ...     _ = path.write_bytes(b"no model")
      ...     models.convert_gguf(path, path.parent / "model")
      Traceback (most recent call last):
        ...
      ValueError: .../model.gguf is damaged or no file of the format ...
    """
    target = _directory.unused(directory)
    file = _gguf.read_gguf(path)
    family = _family_of(file)
    assert family.gguf is not None  # It was looked up by it.
    try:
        config = family.config_class.from_dict(family.gguf.config(file))
        places = family.gguf.tensors(file, config)
        tokenizer = tokenizer_of(file.metadata)
    except (ValueError, TypeError, ZeroDivisionError) as error:
        raise ValueError(f"{file.path}: {str(error).rstrip('.')}.") from error
    expected = {name: _account.Place(name, t.shape) for name, t in places.items()}
    tensors = {
        name: tensor
        for name, tensor in file.tensors.items()
        if name not in family.gguf.read_by_config
    }
    _account.check(expected, tensors, file.path)
    content = {
        **config.to_dict(),
        "dtype": dtype,
        "architectures": [family.gguf.architecture(config)],
    }
    kind, wide = _KINDS[dtype]
    shapes = {place.name: place.shape for place in places.values()}
    with atomic_folder(target) as folder:
        text = json.dumps(content, indent=2, sort_keys=True)
        (folder / "config.json").write_text(text + "\n", encoding="utf-8")
        written = _gguf.in_order(file, places, wide)
        _stream.write_safetensors(folder / _files.WEIGHTS, shapes, kind, written)
        tokenizer.save_pretrained(str(folder))


def _family_of(file: GGUF) -> ModelFamily:
    """Returns the family of a file.

    Raises:
      ValueError: if there is none.
    """
    readers = {
        name: family
        for family in FAMILIES.values()
        if family.gguf is not None
        for name in family.gguf.architectures
    }
    if file.architecture not in readers:
        raise ValueError(
            f"{file.path} holds a network of the architecture"
            f" {file.architecture!r:.40}, and there is {', '.join(readers)}."
        )
    return readers[file.architecture]
