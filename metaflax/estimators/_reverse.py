"""The exact meta-gradient, by reverse mode through every inner step."""

import jax

from metaflax import base
from metaflax.estimators._rematerialized import rematerialized_phase
from metaflax.estimators._unrolled import check_optimizer, unrolled


def reverse(
    problem: base.InnerProblem,
    query_loss: base.QueryLossFn,
    *,
    remat_every: int | None = None,
) -> base.MetaLossFn:
    r"""Differentiates through the inner steps, second derivatives included.

    For one step of gradient descent this is
    :math:`(I - \alpha \nabla^2 L_S(\theta)) \nabla L_Q(\phi)`. Time is about three
    times that of the inner steps; memory grows with the number of steps, by the
    activations of each, or with rematerialisation by a copy of the adapted parameters
    per segment.

    Args:
      problem: the inner problem; its loss must be twice differentiable.
      query_loss: evaluates the adapted parameters.
      remat_every: see `mixed_mode`.

    Returns:
      `value, info = loss(params, task, key, step)`, to be differentiated by
      `jax.grad`.

    Raises:
      ValueError: if the inner optimizer has no finite derivative where a gradient is 0.

    Examples:
      >>> import jax, jax.numpy as jnp, optax
      >>> from metaflax import base, estimators
      >>> problem = base.InnerProblem(
      ...     start=lambda w, support, key: (w, ()),
      ...     loss=lambda w, fixed, support, key: jnp.mean((w - support.targets) ** 2),
      ...     optimizer=optax.sgd(0.25),
      ...     num_steps=1,
      ... )
      >>> loss = estimators.reverse(
      ...     problem, lambda params, w, query, key: jnp.mean((w - query.targets) ** 2)
      ... )
      >>> batch = base.Batch((), 2 * jnp.ones(1), jnp.ones(1))
      >>> print(jax.grad(loss, has_aux=True)(jnp.zeros(()), base.Task(batch, batch))[0])
      -1.0

    References:
      Finn et al., `Model-Agnostic Meta-Learning for Fast Adaptation of Deep
      Networks <https://arxiv.org/abs/1703.03400>`_, 2017.
    """
    check_optimizer("reverse", problem)
    phase = rematerialized_phase(problem.num_steps, jax.value_and_grad, remat_every)
    return unrolled(problem, query_loss, [phase])
