"""The type of learned numbers."""

from typing import Any

import jax
import jax.numpy as jnp


def wide_dtype(tree: Any) -> Any:
    """The type of numbers learned for these leaves together: float32 or wider."""
    return jnp.result_type(jnp.float32, *(leaf.dtype for leaf in jax.tree.leaves(tree)))
