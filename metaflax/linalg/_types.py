"""Casts between half precision outside and float32 or wider inside."""

from typing import Any

import jax
import jax.numpy as jnp


def widen(tree: Any) -> Any:
    """Casts leaves narrower than float32 to float32."""
    return jax.tree.map(
        lambda x: x.astype(jnp.promote_types(x.dtype, jnp.float32)), tree
    )


def cast_like(tree: Any, like: Any) -> Any:
    """Casts leaves to the types of those of another tree."""
    return jax.tree.map(lambda x, y: x.astype(y.dtype), tree, like)
