"""Matrix products whose factors may be narrower than float32."""

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero


def matmul(x: jax.Array, y: jax.Array) -> jax.Array:
    """Multiplies as `jnp.matmul`, and adds up in float32 where types are narrower.

    On CPU, XLA has fast kernels for factors in bfloat16 only where the product is in
    float32; otherwise it converts the factors. The rounding of the product is the same.

    Args:
      x: `[..., n, k]`.
      y: `[..., k, m]`, of the same type.

    Returns:
      `[..., n, m]`, of the same type.
    """
    is_wide = x.dtype == jnp.promote_types(x.dtype, jnp.float32)
    return jnp.matmul(x, y) if is_wide else _narrow(x, y)


@jax.custom_jvp
def _narrow(x: jax.Array, y: jax.Array) -> jax.Array:
    wide = jnp.matmul(x, y, preferred_element_type=jnp.float32)
    return wide.astype(x.dtype)


# The transpose of a product into float32 would multiply in float32: a derivative is a
# product into the narrow type, which accelerators multiply fast.
def _narrow_jvp(primals, tangents):
    (x, y), (along_x, along_y) = primals, tangents
    out = _narrow(x, y)
    along = jnp.zeros_like(out)
    if not isinstance(along_x, SymbolicZero):
        along = along + jnp.matmul(along_x, y)
    if not isinstance(along_y, SymbolicZero):
        along = along + jnp.matmul(x, along_y)
    return out, along


_narrow.defjvp(_narrow_jvp, symbolic_zeros=True)
