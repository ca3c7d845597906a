"""The dtype of learned hyperparameters."""

from typing import Any

import jax
import jax.numpy as jnp


def wide_dtype(tree: Any) -> Any:
    """Returns the dtype of a hyperparameter that leaves share: float32 or wider."""
    return jnp.result_type(jnp.float32, *(leaf.dtype for leaf in jax.tree.leaves(tree)))
