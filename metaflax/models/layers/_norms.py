"""Root mean square normalisation.

Its derivative is given as a formula of what the function returns, as that of layer
normalisation in `_smooth.py` is, so that it keeps one array and not four.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp


class RMSNorm(nn.Module):
    """Root mean square normalisation over the features, with a scale.

    Attributes:
      epsilon: added to the mean square.
    """

    epsilon: float

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],))
        scale = jnp.asarray(scale, x.dtype).reshape((1,) * (x.ndim - 1) + (-1,))
        return rms_normalize(x, self.epsilon) * scale


def rms_normalize(x: jax.Array, eps: float) -> jax.Array:
    """Scales `x` `[..., D]` to unit mean square over its last axis.

    Args:
      x: the features.
      eps: added to the mean square.

    Returns:
      `[..., D]`; the derivative keeps this and `[..., 1]`.

    References:
      Zhang and Sennrich, `Root Mean Square Layer Normalization
      <https://arxiv.org/abs/1910.07467>`_, 2019.
    """
    return _normalized(x, eps)[0]


def _normalized(x: jax.Array, eps: float) -> tuple[jax.Array, jax.Array]:
    """Returns the normalised features, and the inverse of their root `[..., 1]`."""

    @jax.custom_jvp
    def normalized(x):
        inverse = jax.lax.rsqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + eps)
        return x * inverse, inverse

    @normalized.defjvp
    def normalized_jvp(primals, tangents):
        (x,), (along,) = primals, tangents
        unit, inverse = normalized(x)
        stretched = jnp.mean(unit * along, axis=-1, keepdims=True)
        return (unit, inverse), (
            inverse * (along - unit * stretched),
            -jnp.square(inverse) * stretched,
        )

    return normalized(x)
