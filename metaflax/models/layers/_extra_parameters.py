"""Leaves added to a pretrained network, and where they may be added.

Added leaves are leaves like any other: a network applies all leaves of its tree, which
alone defines it. Functions here return new trees, which share the arrays.
"""

from collections.abc import Sequence
from typing import Any

from flax import traverse_util

from metaflax import tree

# Names of the modules of added leaves.
ADAPTER, CONTEXT, LORA, PREFIX = "adapter", "context", "lora", "prefix"

# Number of paths that an error names.
_NAMED = 4


def flatten(params: Any) -> dict[str, Any]:
    """Returns the leaves of a tree by their slash-joined paths."""
    return dict(traverse_util.flatten_dict(dict(params), sep="/"))


def flatten_network(params: Any) -> dict[str, Any]:
    """Returns the leaves of one network by their slash-joined paths.

    Raises:
      ValueError: if this is no tree of one network.
    """
    if "embeddings" not in params or "layer_0" not in params:
        raise ValueError(
            "leaves are added to the parameters of one network, which hold embeddings"
            f" and layer_0; got a tree of {', '.join(map(str, params)) or 'nothing'}"
        )
    return flatten(params)


def unflatten(flat: dict[str, Any]) -> dict[str, Any]:
    """Returns the tree of leaves by their slash-joined paths."""
    return traverse_util.unflatten_dict(flat, sep="/")


def part_of(path: str, name: str) -> bool:
    """Returns whether a leaf lies below an added module of that name."""
    return f"/{name}/" in path


def choose(
    modules: Sequence[str], where: tree.Where, flat: dict[str, Any], name: str
) -> list[str]:
    """Selects the modules that get leaves below `name`.

    Args:
      modules: paths of the modules to choose from.
      where: patterns of the paths to choose, see `tree.where`.
      flat: leaves of the network by path.
      name: name of the added leaves.

    Returns:
      Paths of modules, sorted: draws do not depend on how the tree was put together.

    Raises:
      ValueError: if `where` chooses none, or one that has such leaves already.
    """
    modules = sorted(modules)
    matching = list(filter(tree.where(where), modules))
    if not matching:
        raise ValueError(
            f"where={where!r} chooses no module for {name}; there is {listed(modules)}"
        )
    occupied = [m for m in matching if any(p.startswith(f"{m}/{name}/") for p in flat)]
    if occupied:
        raise ValueError(f"the parameters hold {name} already: {listed(occupied)}")
    return matching


def check_size(name: str, size: int) -> None:
    """Checks that a number of features is a positive integer."""
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise ValueError(f"{name} must be a positive integer, got {size!r}")


def listed(paths: Sequence[str]) -> str:
    """Lists some paths, for an error."""
    more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
    return ", ".join(paths[:_NAMED]) + more
