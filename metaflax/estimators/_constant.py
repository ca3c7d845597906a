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
      query_loss: scores what adaptation made.

    Returns:
      `value, info = loss(params, task, key, step)`, whose gradient is zero.
    """
    meta_loss = stopped(problem, query_loss)

    def loss(params, task, key=None, step=None):
        return jax.lax.stop_gradient(meta_loss(params, task, key, step))

    return loss
