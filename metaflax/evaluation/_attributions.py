"""Attribution of an output to the parts of its input."""

from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

# Number of points on the path whose gradients are computed together.
_AT_ONCE = 8


class Attributions(NamedTuple):
    """Attributions of an output to each number of an input.

    Attributes:
      values: attributions in the shape of the input.
      difference: output of the input less that of the baseline, a scalar.
      error: absolute difference of the sum of `values` from `difference`, a scalar.
    """

    values: jax.Array
    difference: jax.Array
    error: jax.Array


def integrated_gradients(
    fn: Callable[[jax.Array], jax.Array],
    inputs: chex.Array,
    baseline: chex.Array,
    *,
    num_steps: int = 64,
) -> Attributions:
    r"""Attributes the output of a function to its input by integrated gradients.

    The gradient is integrated along the straight path from a baseline :math:`x'` to the
    input :math:`x`; the attribution of number i is

    .. math::

      (x_i - x'_i) \int_0^1 \partial_i f(x' + \alpha (x - x'))\, d\alpha.

    These add up to :math:`f(x) - f(x')`. The integral is computed by Gauss-Legendre
    quadrature instead of the paper's sum of equal steps: with the same number of
    gradients it is more accurate for a smooth `fn`.

    Args:
      fn: differentiable function of an array of the shape of `inputs` to a scalar.
      inputs: the input to explain, an array of any shape.
      baseline: an uninformative input of the same shape.
      num_steps: number of gradients on the path.

    Returns:
      `Attributions`. Their error falls with `num_steps`.

    Raises:
      ValueError: if `num_steps` is not positive.
      AssertionError: if `inputs` and `baseline` differ in shape.

    Examples:
      >>> result = integrated_gradients(
      ...     lambda x: x[0] * x[1], jnp.array([3.0, 2.0]), jnp.zeros(2), num_steps=4
      ... )
      >>> print(result.values.round(4), result.difference)
      [3. 3.] 6.0

    References:
      Sundararajan et al., `Axiomatic Attribution for Deep Networks
      <https://arxiv.org/abs/1703.01365>`_, 2017.
    """
    if num_steps < 1:
        raise ValueError(f"num_steps is {num_steps}; give 1 or more.")
    inputs, baseline = jnp.asarray(inputs), jnp.asarray(baseline)
    chex.assert_equal_shape(
        [inputs, baseline], custom_message="`inputs` and `baseline` differ in shape"
    )
    places, weights = np.polynomial.legendre.leggauss(num_steps)
    places = jnp.asarray((places + 1) / 2, inputs.dtype)  # From [-1, 1] to [0, 1].
    weights = jnp.asarray(weights / 2, inputs.dtype)
    way = inputs - baseline

    def weighted(place_and_weight: tuple[jax.Array, jax.Array]) -> jax.Array:
        place, weight = place_and_weight
        return weight * jax.grad(fn)(baseline + place * way)

    each = jax.lax.map(weighted, (places, weights), batch_size=_AT_ONCE)
    values = way * jnp.sum(each, axis=0)
    difference = fn(inputs) - fn(baseline)
    return Attributions(values, difference, jnp.abs(jnp.sum(values) - difference))
