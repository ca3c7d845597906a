"""Digests of arrays."""

import hashlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from metaflax import tree


def digest(arrays: Any) -> str:
    """Computes the SHA-256, in hex, of a tree's paths, types, shapes and bytes.

    Args:
      arrays: a tree of arrays or typed keys. If the arrays are sharded over several
        processes, all of them have to make this call.

    Examples:
      >>> import jax.numpy as jnp
      >>> one, other = ({"w": jnp.array([1.0, x])} for x in (2.0, 2.0000002))
      >>> digest(one) == digest(one), digest(one) == digest(other)
      (True, False)
    """
    sha256 = hashlib.sha256()
    for path, kind in layout(arrays).items():
        sha256.update(f"{path} {kind}\n".encode())
    for leaf in jax.tree.leaves(arrays):
        sha256.update(np.ascontiguousarray(_to_numpy(leaf)).data)
    return sha256.hexdigest()


def layout(arrays: Any) -> dict[str, str]:
    """Returns type and shape of each array by path, such as `float32[3, 4]`."""
    leaves = jax.tree_util.tree_leaves_with_path(arrays)
    return {tree.path_name(path): f"{x.dtype}{list(x.shape)}" for path, x in leaves}


def _to_numpy(leaf: Any) -> np.ndarray:
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        if not leaf.is_fully_replicated:
            return multihost_utils.process_allgather(leaf, tiled=True)
        leaf = leaf.addressable_data(0)
    return np.asarray(leaf)
