"""Unit vectors, for cosines."""

import jax
import jax.numpy as jnp

from metaflax.linalg._types import widen


def unit(vectors: jax.Array) -> jax.Array:
    """Divides vectors by their lengths, in float32 or wider; 0 stays 0.

    Args:
      vectors: `[..., D]`.

    Returns:
      `[..., D]`, of length 1 or 0, with a finite derivative at 0.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax.linalg import unit
      >>> print(unit(jnp.array([[3.0, 4.0], [0.0, 0.0]])))
      [[0.6 0.8]
       [0.  0. ]]
    """
    vectors = widen(vectors)
    squares = jnp.sum(vectors**2, axis=-1, keepdims=True)
    # Where the length is 0 it has no derivative; there, the vector's is left as is.
    return vectors * jax.lax.rsqrt(jnp.where(squares > 0, squares, 1))
