"""Annealing from one estimator of the meta-gradient to another."""

import jax

from metaflax import base
from metaflax.base._estimator import moves_params, moving_params, outer_step
from metaflax.estimators._first_order import first_order
from metaflax.estimators._reverse import reverse


def annealed(
    until: int,
    *,
    before: base.Estimator = first_order,
    after: base.Estimator = reverse,
) -> base.Estimator:
    """Makes an estimator that switches to another at an outer step, compiled once.

    Both are compiled and one runs; under `vmap` over tasks too, since the step is
    the same for all of them. Their `info` must have the same structure.

    Args:
      until: the first outer step of `after`.
      before: estimator of the steps before `until`.
      after: estimator of the steps from `until` on, and if no step is given.

    Returns:
      An `Estimator`.

    Examples:
      >>> import jax, jax.numpy as jnp, optax
      >>> import metaflax
      >>> from metaflax import estimators
      >>> algorithm = metaflax.maml(
      ...     lambda w, x, key: w * x,
      ...     lambda out, y, weights: jnp.mean(weights * (out - y) ** 2),
      ...     lambda key: jnp.zeros(()),
      ...     optax.sgd(0.25),
      ...     num_steps=1,
      ...     estimator=estimators.annealed(until=100),
      ... )
      >>> batch = metaflax.Batch(jnp.ones(1), 2 * jnp.ones(1), jnp.ones(1))
      >>> task = metaflax.Task(batch, batch)
      >>> gradient = jax.grad(algorithm.loss, has_aux=True)
      >>> for step in 0, 100:  # Of first order, then of second.
      ...     print(gradient(jnp.zeros(()), task, None, step)[0])
      -2.0
      -1.0

    References:
      Antoniou et al., `How to Train Your MAML <https://arxiv.org/abs/1810.09502>`_,
      2019: derivative-order annealing.
    """

    def estimator(
        problem: base.InnerProblem, query_loss: base.QueryLossFn
    ) -> base.MetaLossFn:
        early, late = before(problem, query_loss), after(problem, query_loss)

        def loss(params, task, key=None, step=None):
            if step is None:
                return late(params, task, key)
            return jax.lax.cond(
                outer_step(step) < until, early, late, params, task, key, step
            )

        return loss

    if moves_params(before) or moves_params(after):
        return moving_params(estimator)
    return estimator
