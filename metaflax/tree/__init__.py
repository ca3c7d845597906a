"""Selects leaves of a parameter tree by their paths.

A leaf's path joins its keys by slashes: `encoder/layer_0/attention/query/kernel`.
What is not selected becomes `None`, which JAX treats as an empty subtree: gradients,
optimizer states and checkpoints of a selection hold nothing for the rest.
"""

from metaflax.tree._paths import leaf, path_name, paths, update
from metaflax.tree._selection import (
    Where,
    everything,
    merge,
    nothing,
    partition,
    select,
    where,
)

__all__ = [
    "Where",
    "everything",
    "leaf",
    "merge",
    "nothing",
    "partition",
    "path_name",
    "paths",
    "select",
    "update",
    "where",
]
