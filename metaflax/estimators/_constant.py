"""The estimator of baselines, which have no meta-gradient."""

import jax

from metaflax import base
from metaflax.estimators._first_order import stopped


def constant(
    problem: base.InnerProblem, query_loss: base.QueryLossFn
) -> base.MetaLossFn:
    """Scores the query set and passes no gradient to the meta-parameters.

    Args:
      problem: the inner problem.
      query_loss: evaluates the adapted parameters.

    Returns:
      `value, info = loss(params, task, key, step)`, whose gradient is zero.

    Examples:
      >>> import jax, jax.numpy as jnp, optax
      >>> from metaflax import base, estimators
      >>> problem = base.InnerProblem(
      ...     start=lambda w, support, key: (w, ()),
      ...     loss=lambda w, fixed, support, key: jnp.mean((w - support.targets) ** 2),
      ...     optimizer=optax.sgd(0.25),
      ...     num_steps=1,
      ... )
      >>> loss = estimators.constant(
      ...     problem, lambda params, w, query, key: jnp.mean((w - query.targets) ** 2)
      ... )
      >>> batch = base.Batch((), 2 * jnp.ones(1), jnp.ones(1))
      >>> value_and_grad = jax.value_and_grad(loss, has_aux=True)
      >>> (value, _), grad = value_and_grad(jnp.zeros(()), base.Task(batch, batch))
      >>> print(value, grad)
      1.0 0.0

    References:
      No paper: it leaves the meta-parameters as they are.
    """
    meta_loss = stopped(problem, query_loss)

    def loss(params, task, key=None, step=None):
        return jax.lax.stop_gradient(meta_loss(params, task, key, step))

    return loss
