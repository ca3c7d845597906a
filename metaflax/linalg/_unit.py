"""Unit vectors, for cosines."""

import jax
import jax.numpy as jnp

from metaflax.linalg._types import widen


def unit(vectors: jax.Array) -> jax.Array:
    """Vectors `[..., D]` divided by their lengths, in float32 or wider; 0 stays 0."""
    vectors = widen(vectors)
    squares = jnp.sum(vectors**2, axis=-1, keepdims=True)
    # Where the length is 0 it has no derivative; there, the vector's is left as is.
    return vectors * jax.lax.rsqrt(jnp.where(squares > 0, squares, 1))
