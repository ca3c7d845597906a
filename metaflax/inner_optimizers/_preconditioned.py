"""Gradient descent with a linear preconditioner on each axis of each gradient."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from metaflax import base
from metaflax.inner_optimizers._wide import wide_dtype


def preconditioned(
    rate: float,
    init_factor: Callable[[Any, int, Any], Any],
    multiply: Callable[[Any, jax.Array], jax.Array],
) -> base.InnerOptimizer:
    """Preconditions each axis of a gradient by a matrix, then scales by minus a rate.

    Args:
      rate: initial value of the learned rate of each tensor.
      init_factor: `factor = init_factor(key, size, dtype)`, for an axis of that size.
      multiply: `multiply(factor, x)`, the factor times a matrix `[size, ...]`.

    Returns:
      An `InnerOptimizer` whose hyperparameters have a dict for each tensor, with its
      `rate` and either a factor for each axis, `axis_0` and so on, or `scale`.
    """

    def init_leaf(key, leaf):
        dtype = wide_dtype(leaf)
        hyper = {"rate": jnp.asarray(rate, dtype)}
        rank = len(leaf.shape)
        # A matrix on the one axis of a bias would be as large as the layer's kernel.
        if rank < 2:
            return {**hyper, "scale": jnp.ones(leaf.shape, dtype)}
        for axis, axis_key in enumerate(jax.random.split(key, rank)):
            hyper[f"axis_{axis}"] = init_factor(axis_key, leaf.shape[axis], dtype)
        return hyper

    def init(key, fast):
        leaves, treedef = jax.tree.flatten(fast)
        keys = jax.random.split(key, len(leaves))
        return treedef.unflatten(map(init_leaf, keys, leaves))

    def update_leaf(grad, hyper):
        x = grad.astype(jnp.promote_types(grad.dtype, hyper["rate"].dtype))
        if x.ndim < 2:
            x = hyper["scale"] * x
        else:
            for axis in range(x.ndim):
                x = _along(axis, multiply, hyper[f"axis_{axis}"], x)
        return (-hyper["rate"] * x).astype(grad.dtype)

    def make(hyper):
        return optax.stateless(
            lambda grads, params: jax.tree.map(update_leaf, grads, hyper)
        )

    return base.InnerOptimizer(init, make)


def _along(axis: int, multiply: Callable[..., jax.Array], factor: Any, x: jax.Array):
    """Computes the mode product: a matrix times one axis of a tensor."""
    first = jnp.moveaxis(x, axis, 0)
    matrix = first.reshape(first.shape[0], -1)
    return jnp.moveaxis(multiply(factor, matrix).reshape(first.shape), 0, axis)
