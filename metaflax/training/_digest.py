"""What arrays hold, as a few letters to compare by."""

import hashlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from metaflax import tree


def digest(arrays: Any) -> str:
    """SHA-256, in hex, of a tree's paths, types, shapes and bytes.

    Args:
      arrays: a tree of arrays, typed keys among them. Those that are spread over
        several processes all of them have to ask for.

    Examples:
      >>> import jax.numpy as jnp
      >>> one, other = ({"w": jnp.array([1.0, x])} for x in (2.0, 2.0000002))
      >>> digest(one) == digest(one), digest(one) == digest(other)
      (True, False)
    """
    found = hashlib.sha256()
    for path, kind in layout(arrays).items():
        found.update(f"{path} {kind}\n".encode())
    for leaf in jax.tree.leaves(arrays):
        found.update(np.ascontiguousarray(_plain(leaf)).data)
    return found.hexdigest()


def layout(arrays: Any) -> dict[str, str]:
    """Type and shape by path, such as `float32[3, 4]`."""
    leaves = jax.tree_util.tree_leaves_with_path(arrays)
    return {tree.path_name(path): f"{x.dtype}{list(x.shape)}" for path, x in leaves}


def _plain(leaf: Any) -> np.ndarray:
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        if not leaf.is_fully_replicated:
            return multihost_utils.process_allgather(leaf, tiled=True)
        leaf = leaf.addressable_data(0)
    return np.asarray(leaf)
