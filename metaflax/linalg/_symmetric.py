"""Iterative solvers for a symmetric matrix given by its products with vectors."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from metaflax.linalg._types import cast_like, widen


class Solution(NamedTuple):
    """The result of an iterative solve.

    Attributes:
      x: the solution, a tree as the right-hand side is.
      residual: norm of the residual, relative to that of the right-hand side; it is
        computed from `x` and carries no derivative.
      num_steps: number of products with the matrix that `x` took.
    """

    x: Any
    residual: jax.Array
    num_steps: jax.Array


def _dot(first: Any, second: Any) -> jax.Array:
    """Computes the inner product of two trees."""
    products = jax.tree.map(jnp.vdot, first, second)
    return jax.tree.reduce(jnp.add, products)


def _add(first: Any, scale: Any, second: Any) -> Any:
    """Computes `first + scale * second`."""
    return jax.tree.map(lambda x, y: x + (scale * y).astype(x.dtype), first, second)


def _relative_residual(matvec: Callable[[Any], Any], x: Any, b: Any) -> jax.Array:
    rest = _add(b, -1, matvec(x))
    size = _dot(b, b)
    ratio = jnp.sqrt(_dot(rest, rest) / jnp.where(size > 0, size, 1))
    # The root has no derivative at 0, which even an unused result would pass on.
    return jax.lax.stop_gradient(ratio)


def conjugate_gradient(
    matvec: Callable[[Any], Any],
    b: Any,
    *,
    damping: float | jax.Array = 0.0,
    tolerance: float | jax.Array = 1e-6,
    max_steps: int,
) -> Solution:
    r"""Solves :math:`(A + \delta I) x = b` for a symmetric positive definite A.

    A direction in which the matrix does not curve upwards ends the iteration, so
    that an indefinite matrix gives the best solution until then and never NaN.

    Derivatives are those of the exact solution, by one more such solve each, and
    take as many steps as the tolerance asks; the steps are not unrolled.

    Args:
      matvec: `A x = matvec(x)`, linear, on trees as `b`.
      b: the right-hand side, any tree of float arrays.
      damping: :math:`\delta`.
      tolerance: the relative residual to stop at.
      max_steps: the largest number of steps.

    Returns:
      A `Solution`.

    Raises:
      ValueError: if `max_steps` is negative.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax.linalg import conjugate_gradient
      >>> matrix = jnp.array([[2.0, 0.0], [0.0, 4.0]])
      >>> solution = conjugate_gradient(
      ...     lambda x: matrix @ x, jnp.array([2.0, 4.0]), max_steps=10
      ... )
      >>> print(solution.x.round(4), solution.num_steps)
      [1. 1.] 2

    References:
      Hestenes and Stiefel, `Methods of Conjugate Gradients for Solving Linear
      Systems <https://doi.org/10.6028/jres.049.044>`_, 1952.
    """
    if max_steps < 0:
        raise ValueError(f"max_steps is 0 or more, got {max_steps}.")

    def damped(x):
        return _add(widen(matvec(cast_like(x, b))), damping, x)

    def solve(matvec, b):
        def unfinished(carry):
            _, _, _, size, upwards, step = carry
            return upwards & (size > threshold) & (step < max_steps)

        def advance(carry):
            x, rest, direction, size, _, step = carry
            image = matvec(direction)
            curvature = _dot(direction, image)
            upwards = curvature > 0
            length = jnp.where(upwards, size / jnp.where(upwards, curvature, 1), 0)
            x, rest = _add(x, length, direction), _add(rest, -length, image)
            new_size = _dot(rest, rest)
            direction = _add(rest, new_size / size, direction)
            return x, rest, direction, new_size, upwards, step + 1

        size = _dot(b, b)
        threshold = jnp.square(tolerance) * size
        start = jax.tree.map(jnp.zeros_like, b)
        carry = (start, b, b, size, jnp.asarray(True), jnp.asarray(0))
        x, *_, num_steps = jax.lax.while_loop(unfinished, advance, carry)
        return x, num_steps

    wide = widen(b)
    x, num_steps = jax.lax.custom_linear_solve(
        damped, wide, solve, symmetric=True, has_aux=True
    )
    return Solution(cast_like(x, b), _relative_residual(damped, x, wide), num_steps)


def neumann_series(
    matvec: Callable[[Any], Any],
    b: Any,
    *,
    step_size: float | jax.Array,
    num_steps: int,
) -> Solution:
    r"""Approximates :math:`A^{-1} b` by a truncated series.

    .. math:: x = \eta \sum_{i=0}^{K} (I - \eta A)^i b,

    which tends to the solution where every eigenvalue of A is between 0 and
    :math:`2 / \eta`. It is the result of K + 1 steps of gradient descent from 0.

    Args:
      matvec: `A x = matvec(x)`, linear, on trees as `b`.
      b: the right-hand side, any tree of float arrays.
      step_size: :math:`\eta`.
      num_steps: K, the number of products; 0 gives :math:`\eta b`.

    Returns:
      A `Solution`; derivatives pass through its steps.

    Raises:
      ValueError: if `num_steps` is negative.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax.linalg import neumann_series
      >>> solution = neumann_series(
      ...     lambda x: 2 * x, jnp.array(1.0), step_size=0.25, num_steps=2
      ... )
      >>> print(solution.x, solution.residual)  # 0.25 (1 + 0.5 + 0.25)
      0.4375 0.125

    References:
      Lorraine et al., `Optimizing Millions of Hyperparameters by Implicit
      Differentiation <https://arxiv.org/abs/1911.02590>`_, 2020, algorithm 3.
    """
    if num_steps < 0:
        raise ValueError(f"num_steps is 0 or more, got {num_steps}.")

    def wide_matvec(x):
        return widen(matvec(cast_like(x, b)))

    def advance(carry, _):
        total, term = carry
        term = _add(term, -step_size, wide_matvec(term))
        return (_add(total, 1, term), term), None

    wide = widen(b)
    carry = (wide, wide)
    if num_steps:  # A scan of no steps cannot run without jit.
        carry, _ = jax.lax.scan(advance, carry, None, length=num_steps)
    x = jax.tree.map(lambda total: (step_size * total).astype(total.dtype), carry[0])
    residual = _relative_residual(wide_matvec, x, wide)
    return Solution(cast_like(x, b), residual, jnp.asarray(num_steps))
