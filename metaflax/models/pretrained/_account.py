"""Checks that every tensor of a file has a place in the tree, and back."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp

# Number of tensors of one kind that an error names.
_NAMED = 5


class Place(NamedTuple):
    """Place of a tensor of a file in our tree.

    Attributes:
      path: the slash-joined path in our tree.
      shape: shape in the file.
      transposed: whether our leaf is the transpose.
    """

    path: str
    shape: tuple[int, ...]
    transposed: bool = False


def check(
    places: Mapping[str, Place], tensors: Mapping[str, Any], source: object
) -> None:
    """Raises unless the tensors are exactly those that have a place.

    Args:
      places: place of each expected tensor, by name.
      tensors: the tensors of the file, by name: arrays, or `StoredTensor`s.
      source: where the tensors come from, for the message.

    Raises:
      ValueError: naming tensors that are missing, unexpected, of another shape or of
        no float type.
    """
    shared = sorted(places.keys() & tensors.keys())
    kinds = {
        "missing": sorted(places.keys() - tensors.keys()),
        "unexpected": sorted(tensors.keys() - places.keys()),
        "of another shape": [
            f"{name} (expected {list(places[name].shape)},"
            f" found {list(tensors[name].shape)})"
            for name in shared
            if tensors[name].shape != places[name].shape
        ],
        "of no float type": [
            f"{name} ({tensors[name].dtype})"
            for name in shared
            if not _is_float(tensors[name].dtype)
        ],
    }
    problems = [f"{kind}: {_some(names)}" for kind, names in kinds.items() if names]
    if problems:
        raise ValueError(
            f"{source} does not hold the tensors that its configuration describes; "
            + "; ".join(problems)
            + ". Name a complete copy of the model."
        )


def _is_float(dtype: Any) -> bool:
    # A string names a type that NumPy lacks, such as floats of 8 bits.
    return not isinstance(dtype, str) and jnp.issubdtype(dtype, jnp.floating)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
