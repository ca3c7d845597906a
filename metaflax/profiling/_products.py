"""Floating-point operations of a function, counted in its jaxpr."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.extend as jex


def matmul_flops(fn: Callable[..., Any], *args: Any, while_steps: int = 10) -> int:
    """Counts the floating-point operations of all matrix products in `fn(*args)`.

    Nothing is compiled, so that the count is the same on every machine. Products that
    a compiler would merge count each time they are written.

    Args:
      fn: the function.
      args: its arguments, or their shapes.
      while_steps: assumed trip count of loops of unknown length, such as that of
        conjugate gradients.

    Returns:
      Two operations for each multiplication and addition.

    Examples:
      >>> from metaflax.profiling import matmul_flops
      >>> import jax.numpy as jnp
      >>> matmul_flops(lambda x, y: x @ y, jnp.ones((2, 3)), jnp.ones((3, 4)))
      48
    """
    return _count(jax.make_jaxpr(fn)(*args), while_steps)


def _count(jaxpr: Any, while_steps: int) -> int:
    total = 0
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        if name == "dot_general":
            total += _product(equation)
            continue
        parts = [
            _count(part, while_steps)
            for part in jex.core.jaxprs_in_params(equation.params)
        ]
        if name == "cond":
            total += max(parts, default=0)
        else:
            times = {"scan": equation.params.get("length"), "while": while_steps}
            total += times.get(name, 1) * sum(parts)
    return total


def _product(equation: Any) -> int:
    (contracted, _), _ = equation.params["dimension_numbers"]
    left = equation.invars[0].aval.shape
    depth = math.prod(left[axis] for axis in contracted)
    return 2 * depth * math.prod(equation.outvars[0].aval.shape)
