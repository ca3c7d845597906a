"""Reading and writing of weights by the names of their tensors."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from metaflax.models.families._contract import Contents, Files, ReadFn, WriteFn
from metaflax.models.pretrained import _files, _places

Stored: TypeAlias = Mapping[str, _files.StoredTensor]


def named_weights(
    targets: Callable[[Any], Mapping[str, _places.Target]],
    rename: Callable[[Any, str], str | None],
    file_name: Callable[[str], str],
    architecture: str | Callable[[Any], str],
    unread: Callable[[Any], Mapping[str, tuple[int, ...]]] = lambda config: {},
    resolve: Callable[[Any, Stored], tuple[Any, Stored]] = lambda *stored: stored,
) -> tuple[ReadFn, WriteFn]:
    """Makes `read` and `write` of a family from the names of its tensors.

    Args:
      targets: `targets(config)`, where every tensor goes, by its name without prefix.
      rename: `rename(config, name)`, that name from the one in a file; None for a
        tensor that is left out.
      file_name: the name in a file.
      architecture: Hugging Face's name of the class, or `architecture(config)`.
      unread: `unread(config)`, shapes of tensors that the class has and never reads,
        written as zeros.
      resolve: `config, tensors = resolve(config, tensors)`, the configuration that the
        tensors of a file imply, and the tensors without duplicates under further names.
    """

    def read(directory: Path, content: Mapping[str, Any], config: Any) -> Contents:
        del content
        stored = _files.stored_tensors(directory)
        try:
            config, tensors = resolve(config, stored)
        except ValueError as error:
            raise ValueError(f"{directory}: {error}") from error
        params, ignored = _places.tree_of(
            tensors, targets(config), lambda name: rename(config, name), directory
        )
        ignored = sorted({*ignored, *(stored.keys() - tensors.keys())})
        return Contents(params, tuple(ignored), config=config)

    def write(config: Any, params: Any, head: Any, pooling: str, standardize: bool):
        del pooling, standardize
        tensors = _places.tensors_of(params, targets(config))
        tensors = {file_name(name): tensor for name, tensor in tensors.items()}
        for name, shape in unread(config).items():
            tensors[name] = np.zeros(shape, np.float32)
        name = architecture if isinstance(architecture, str) else architecture(config)
        return Files(config, tensors, head, name)

    return read, write
