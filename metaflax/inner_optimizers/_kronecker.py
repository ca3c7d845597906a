"""Learned Kronecker-factored preconditioning, with factors of low rank."""

import jax
import jax.numpy as jnp

from metaflax import base
from metaflax.inner_optimizers._preconditioned import preconditioned


def kronecker(rank: int, rate: float = 0.01) -> base.InnerOptimizer:
    r"""Learns a preconditioner that is a Kronecker product of small matrices.

    The gradient of a tensor, written as one vector, is multiplied by one large matrix
    that has a factor for each axis, and each factor differs from the identity by a
    matrix of low rank:

    .. math::

      \mathrm{vec}(W) \leftarrow \mathrm{vec}(W)
        - \alpha\, (M_0 \otimes \cdots \otimes M_{n-1})\, \mathrm{vec}(G), \qquad
      M_i = I + A_i B_i^\top.

    No matrix is formed: an axis of size D has 2 r D learned numbers, and the step of a
    kernel costs about as much as r more examples, so that all of a BERT's kernels can
    have one. B begins at zero, so that the first steps are those of gradient descent; A
    is normal with a standard deviation of :math:`1 / \sqrt{D}`, which makes its columns
    about as long as a unit vector. Vectors and scalars are multiplied elementwise.

    The paper's factors are whole matrices, as those of `meta_curvature` are; low rank
    is an addition of this package, for the kernels of a BERT.

    Args:
      rank: r, at most the size of an axis.
      rate: initial value of the learned rate of each tensor.

    Returns:
      An `InnerOptimizer`. Its hyperparameters are a tree like the adapted parameters,
      with a dict for each array: `rate`, a scalar, and for each axis `axis_0`, `axis_1`
      and so on a dict of `a` and `b`, each `[D, r]`; for a vector or scalar `rate` and
      `scale`, of its shape.

    Raises:
      ValueError: if `rank` is not positive.

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> from metaflax.inner_optimizers import kronecker
      >>> fast = {"kernel": jnp.ones((4, 3)), "bias": jnp.ones(3)}
      >>> inner_optimizer = kronecker(rank=2, rate=0.5)
      >>> hyper = inner_optimizer.init(jax.random.key(0), fast)
      >>> print(jax.tree.map(jnp.shape, hyper["kernel"]["axis_0"]))
      {'a': (4, 2), 'b': (4, 2)}
      >>> optimizer = inner_optimizer.make(hyper)
      >>> updates, state = optimizer.update(fast, optimizer.init(fast))
      >>> print(updates["kernel"][0])
      [-0.5 -0.5 -0.5]

    References:
      Arnold et al., `When MAML Can Adapt Fast and How to Assist When It Cannot
      <https://arxiv.org/abs/1910.13603>`_, 2021.
    """
    if rank < 1:
        raise ValueError(
            f"rank is 1 or more, got {rank}; for rates alone take learned_rates."
        )

    def init_factor(key, size, dtype):
        shape = (size, min(rank, size))
        a = jax.random.normal(key, shape, dtype) * size**-0.5
        return {"a": a, "b": jnp.zeros(shape, dtype)}

    return preconditioned(rate, init_factor, _multiply)


def _multiply(factor, x):
    inside = jnp.matmul(factor["b"].T, x, precision="highest")  # [r, ...]
    return x + jnp.matmul(factor["a"], inside, precision="highest")
