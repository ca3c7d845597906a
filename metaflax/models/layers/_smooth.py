"""Activations and normalisation that keep little for their derivatives.

Automatic differentiation alone keeps every intermediate array of a function for the
backward pass: for one GELU four arrays of the widest layer's size. Here each derivative
is given as a formula (`custom_jvp`, so that every order and direction still works) of
one array, or of what the function returns anyway.
"""

import jax
import jax.numpy as jnp
import numpy as np


@jax.custom_jvp
def gelu(x: jax.Array) -> jax.Array:
    r"""Computes the exact GELU, :math:`x \Phi(x)`; its derivative keeps one array.

    References:
      Hendrycks and Gimpel, `Gaussian Error Linear Units (GELUs)
      <https://arxiv.org/abs/1606.08415>`_, 2016.
    """
    return 0.5 * x * (1 + jax.lax.erf(x * np.sqrt(0.5).astype(x.dtype)))


@gelu.defjvp
def _gelu_jvp(primals, tangents):
    (x,), (along,) = primals, tangents
    return gelu(x), _gelu_slope(x) * along


@jax.custom_jvp
def _gelu_slope(x: jax.Array) -> jax.Array:
    """Computes the derivative of `gelu`: Phi(x) + x phi(x)."""
    # Of -x, so that no compiler keeps the error function of x for it.
    return 0.5 * (1 - jax.lax.erf(x * -np.sqrt(0.5).astype(x.dtype))) + x * _density(x)


@_gelu_slope.defjvp
def _gelu_slope_jvp(primals, tangents):
    (x,), (along,) = primals, tangents
    return _gelu_slope(x), _density(x) * (2 - jnp.square(x)) * along


def _density(x: jax.Array) -> jax.Array:
    """Computes the density of the standard normal distribution."""
    return jnp.exp(-0.5 * jnp.square(x)) * np.sqrt(0.5 / np.pi).astype(x.dtype)


def normalize(x: jax.Array, eps: float) -> jax.Array:
    """Scales `x` `[..., D]` to mean 0 and variance 1 over its last axis.

    Args:
      x: the features.
      eps: added to the variance.

    Returns:
      `[..., D]`; the derivative keeps this and `[..., 1]`.
    """
    return _normalized(x, eps)[0]


def _normalized(x: jax.Array, eps: float) -> tuple[jax.Array, jax.Array]:
    """Returns the normalised features, and the inverse deviation `[..., 1]`."""

    @jax.custom_jvp
    def normalized(x):
        centred = x - jnp.mean(x, axis=-1, keepdims=True)
        # Not E[x^2] - E[x]^2, which cancels.
        variance = jnp.mean(jnp.square(centred), axis=-1, keepdims=True)
        inverse = jax.lax.rsqrt(variance + eps)
        return centred * inverse, inverse

    @normalized.defjvp
    def normalized_jvp(primals, tangents):
        (x,), (along,) = primals, tangents
        unit, inverse = normalized(x)
        moved = jnp.mean(along, axis=-1, keepdims=True)
        stretched = jnp.mean(unit * along, axis=-1, keepdims=True)
        return (unit, inverse), (
            inverse * (along - moved - unit * stretched),
            -jnp.square(inverse) * stretched,
        )

    return normalized(x)
