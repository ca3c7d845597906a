"""A meta-gradient of each inner step by itself, all along the way."""

import jax
import jax.numpy as jnp

from metaflax import base, inner
from metaflax.estimators._surrogate import pulled


def trajectory(
    problem: base.InnerProblem, query_loss: base.QueryLossFn
) -> base.MetaLossFn:
    r"""Teaches what does not adapt to make every inner step a good one.

    Where step k begins counts as given, so that nothing passes from one step to
    another and the number of steps costs no memory:

    .. math::

      g = \nabla_\eta \sum_k w_k L_Q\big(\bar\phi_k - \alpha \nabla_\phi
      L_S(\bar\phi_k, \eta), \eta\big), \qquad \bar\phi_k \text{ constant},

    with weights of 1/K unless the problem has its own. The start learns from how
    far adaptation moved, as in `displacement`.

    Args:
      problem: the inner problem, at least one step.
      query_loss: judges what adaptation made.

    Returns:
      `value, info = loss(params, task, key, step)`, to be differentiated by
      `jax.grad`.

    References:
      Flennerhag et al., `Meta-Learning with Warped Gradient Descent
      <https://arxiv.org/abs/1909.00025>`_, 2020, equation 8, which leaves open how
      the start is learned.
    """
    num_steps = problem.num_steps
    weights_of = problem.query_weights or (
        lambda step: jnp.full(num_steps, 1 / num_steps)
    )

    def detached(step):
        return lambda carry, key: step(jax.lax.stop_gradient(carry), key)

    def loss(params, task, key=None, step=None):
        inner_key, query_key = base.split_key(key)

        def judge(fast, fixed):
            adapted = problem.finish(fast, fixed)
            return query_loss(params, adapted, task.query, query_key)

        solution = inner.solve(
            problem,
            params,
            task.support,
            inner_key,
            phases=[inner.Phase(num_steps, wrap=detached)],
            observe=judge,
        )
        each = solution.observed  # [K]
        value = jnp.vdot(weights_of(base.outer_step(step)).astype(each.dtype), each)
        moved = jax.tree.map(jnp.subtract, solution.start, solution.fast)
        info = base.MetaInfo(solution.info.losses, each[-1])
        return pulled(value, solution.start, moved), jax.lax.stop_gradient(info)

    return loss
