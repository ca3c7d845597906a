"""Meta-Curvature: a learned matrix for each axis of each gradient."""

import jax.numpy as jnp

from metaflax import base
from metaflax.inner_optimizers._preconditioned import preconditioned


def meta_curvature(rate: float = 0.01) -> base.InnerOptimizer:
    r"""Learns a linear transformation of each axis of the gradients.

    A kernel's gradient G, `[in, out]`, is multiplied from both sides, and a tensor of n
    axes along each axis by the matrix of that axis:

    .. math::

      W \leftarrow W - \alpha M_0 G M_1^\top, \qquad
      W \leftarrow W - \alpha\, G \times_0 M_0 \times_1 M_1 \cdots
        \times_{n-1} M_{n-1}.

    The matrices begin as the identity, so that the first steps are those of gradient
    descent. A vector is multiplied elementwise, and so is a scalar: the matrix of a
    bias of D numbers would have D x D of them, as many as a kernel, to mix what its
    module already mixes. Every tensor learns its rate too, which the paper fixes;
    without it, scaling a step would take a change of all entries of the matrices.

    An axis of size D costs a matrix of D x D: do not adapt embedding tables this way,
    and for wide kernels see `kronecker`.

    Args:
      rate: initial value of the rate of each tensor.

    Returns:
      An `InnerOptimizer`. Its hyperparameters are a tree like the adapted parameters,
      with a dict for each array: `rate`, a scalar, and `axis_0`, `axis_1` and so on,
      `[D, D]` for an axis of D; for a vector or scalar `rate` and `scale`, of its
      shape.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax.inner_optimizers import meta_curvature
      >>> import jax
      >>> fast = {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)}
      >>> inner_optimizer = meta_curvature(0.5)
      >>> hyper = inner_optimizer.init(jax.random.key(0), fast)
      >>> print(*hyper["kernel"], hyper["kernel"]["axis_1"].shape)
      rate axis_0 axis_1 (3, 3)
      >>> optimizer = inner_optimizer.make(hyper)
      >>> updates, state = optimizer.update(fast, optimizer.init(fast))
      >>> print(updates["bias"])
      [-0.5 -0.5 -0.5]

    References:
      Park and Oliva, `Meta-Curvature <https://arxiv.org/abs/1902.03356>`_, 2019.
    """
    return preconditioned(rate, _identity, _multiply)


def _identity(key, size, dtype):
    del key
    return jnp.eye(size, dtype=dtype)


def _multiply(factor, x):
    # In full precision, so that the identity leaves a gradient as it is.
    return jnp.matmul(factor, x, precision="highest")
