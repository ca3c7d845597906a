"""Conversion between tensors of a file and leaves of a tree."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from metaflax.models.pretrained import _account, _files
from metaflax.models.pretrained._account import Place


class Columns(NamedTuple):
    """Places of the columns of one tensor, cut into equal parts.

    Attributes:
      paths: the slash-joined paths in our tree, first columns first.
      shape: shape in the file.
      transposed: whether the file holds the transpose.
    """

    paths: tuple[str, ...]
    shape: tuple[int, ...]
    transposed: bool = False


Target: TypeAlias = Place | Columns


def below(name: str, target: Target) -> Target:
    """Moves a target below `name` in our tree."""
    if isinstance(target, Columns):
        return target._replace(paths=tuple(f"{name}/{path}" for path in target.paths))
    return target._replace(path=f"{name}/{target.path}")


def read(
    directory: Path,
    targets: Mapping[str, Target],
    rename: Callable[[str], str | None],
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Reads the tree of a checkpoint's tensors, all of them accounted for.

    Args:
      directory: directory of the weight files.
      targets: place of each tensor, by name.
      rename: that name from the one in a file; None for a tensor that is left out.

    Returns:
      Nested dictionaries of float32 leaves, and the names of what was left out.

    Raises:
      ValueError: naming what is missing, unexpected or of another shape.
    """
    return tree_of(_files.stored_tensors(directory), targets, rename, directory)


def tree_of(
    tensors: Mapping[str, _files.StoredTensor],
    targets: Mapping[str, Target],
    rename: Callable[[str], str | None],
    source: object,
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Reads the tree of stored tensors, all of them accounted for.

    Args:
      tensors: tensors by their names in files.
      targets: place of each tensor, by name.
      rename: that name from the one in a file; None for a tensor that is left out.
      source: where they come from, for errors.

    Returns:
      Nested dictionaries of float32 leaves, and the names of what was left out.

    Raises:
      ValueError: naming what is missing, unexpected or of another shape.
    """
    kept, ignored = {}, []
    for name, tensor in tensors.items():
        ours = rename(name)
        if ours is None:
            ignored.append(name)
        elif ours in kept:
            raise ValueError(f"{source} holds {ours} under two names")
        else:
            kept[ours] = tensor
    _check(targets, kept, source)
    leaves = {}
    for name, target in targets.items():
        wide = kept.pop(name).read().astype(np.float32, copy=False)
        wide = wide.T if target.transposed else wide
        if isinstance(target, Columns):
            parts = np.split(wide, len(target.paths), axis=-1)
            of_tensor = dict(zip(target.paths, parts, strict=True))
        else:
            of_tensor = {target.path: wide}
        # One after the other, so that no more than one is held twice.
        for path, leaf in of_tensor.items():
            leaves[path] = jnp.asarray(np.ascontiguousarray(leaf))
    return traverse_util.unflatten_dict(leaves, sep="/"), tuple(sorted(ignored))


def tensors_of(params: Any, targets: Mapping[str, Target]) -> dict[str, np.ndarray]:
    """Returns tensors as files hold them, all leaves accounted for; inverts `read`.

    Raises:
      ValueError: naming leaves that are missing, unexpected or of another shape.
    """
    flat = traverse_util.flatten_dict(params, sep="/")
    leaves = {path: np.asarray(leaf) for path, leaf in flat.items()}
    tensors = {}
    for name, target in targets.items():
        if isinstance(target, Columns):
            parts = [leaves.pop(path) for path in target.paths if path in leaves]
            if len(parts) == len(target.paths):
                whole = np.concatenate(parts, axis=-1)
                tensors[name] = whole.T if target.transposed else whole
        elif target.path in leaves:
            leaf = leaves.pop(target.path)
            tensors[name] = leaf.T if target.transposed else leaf
    tensors = {
        name: np.ascontiguousarray(tensor.astype(np.float32))
        for name, tensor in (tensors | leaves).items()  # The latter have no place.
    }
    _check(targets, tensors, "the parameter tree")
    return tensors


def _check(
    targets: Mapping[str, Target], tensors: Mapping[str, Any], source: object
) -> None:
    places = {
        name: Place(name, t.shape) if isinstance(t, Columns) else t
        for name, t in targets.items()
    }
    _account.check(places, tensors, source)
