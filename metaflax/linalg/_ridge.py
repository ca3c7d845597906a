"""Weighted ridge regression."""

import jax
import jax.numpy as jnp


def ridge(
    features: jax.Array,
    targets: jax.Array,
    weights: jax.Array,
    strength: float | jax.Array,
) -> jax.Array:
    r"""Weighted ridge regression in closed form.

    .. math::

      W = \arg\min_W \sum_u w_u |x_u^\top W - y_u|^2 + \lambda |W|^2
        = (X^\top \Omega X + \lambda I)^{-1} X^\top \Omega Y,

    by that matrix of D x D or by its dual of U x U, whichever is smaller; by the first
    where U is a symbolic size of `jax.export`.

    Args:
      features: X, `[U, D]`.
      targets: Y, `[U, N]`.
      weights: the diagonal of :math:`\Omega`, `[U]`; rows of weight 0 drop out.
      strength: :math:`\lambda`, above 0; raised to 8 units of rounding of the sum
        of all squares of X where it is less than that.

    Returns:
      W, `[D, N]`, in the type of the features.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax.linalg import ridge
      >>> kernel = ridge(jnp.array([[1.0]]), jnp.array([[3.0]]), jnp.ones(1), 1.0)
      >>> print(kernel.round(4))  # 3 / (1 + 1)
      [[1.5]]
    """
    dtype = jnp.promote_types(features.dtype, jnp.float32)
    x, y, weights, strength = (
        jnp.asarray(value, dtype) for value in (features, targets, weights, strength)
    )
    # At 0 the root would have an infinite derivative.
    counts = weights > 0
    root = jnp.where(counts, jnp.sqrt(jnp.where(counts, weights, 1)), 0)
    x, y = root[:, None] * x, root[:, None] * y
    num_units, num_features = features.shape
    # Of a size that is known when a program runs only, as `jax.export` allows, the
    # dual would be a matrix of unknown size.
    is_known = isinstance(num_units, int) and isinstance(num_features, int)
    smaller_dual = is_known and num_units < num_features
    # With a strength below the rounding error of the squares, the matrix is not
    # positive definite.
    least = 8 * jnp.finfo(dtype).eps * jax.lax.stop_gradient(jnp.sum(x**2))
    shift = jnp.maximum(strength, least)
    with jax.default_matmul_precision("highest"):  # A product of products.
        if smaller_dual:
            matrix = x @ x.T + shift * jnp.eye(num_units, dtype=dtype)
            kernel = x.T @ jax.scipy.linalg.solve(matrix, y, assume_a="pos")
        else:
            matrix = x.T @ x + shift * jnp.eye(num_features, dtype=dtype)
            kernel = jax.scipy.linalg.solve(matrix, x.T @ y, assume_a="pos")
    return kernel.astype(features.dtype)
