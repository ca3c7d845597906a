"""Reptile's meta-gradient: the displacement of the adapted parameters."""

import jax
import jax.numpy as jnp

from metaflax import base, inner
from metaflax.estimators._first_order import stopped_value_and_grad
from metaflax.estimators._surrogate import pulled
from metaflax.estimators._unrolled import check_last_step_only, solve_and_evaluate


def displacement(
    problem: base.InnerProblem, query_loss: base.QueryLossFn
) -> base.MetaLossFn:
    r"""Estimates the meta-gradient by start minus adapted parameters, as Reptile.

    The meta-gradient of the adapted parameters is :math:`\phi_0 - \phi_K`, propagated
    back through the computation of :math:`\phi_0`; parameters that the start does not
    depend on get none. The query set is only scored, for the log.

    Args:
      problem: the inner problem, with at least one step.
      query_loss: evaluates the adapted parameters.

    Returns:
      `value, info = loss(params, task, key, step)`: the query loss, with the
      displacement for its derivative.

    Raises:
      ValueError: if there is no inner step, or the problem weighs intermediate
        steps.

    Examples:
      >>> import jax, jax.numpy as jnp, optax
      >>> from metaflax import base, estimators
      >>> problem = base.InnerProblem(
      ...     start=lambda w, support, key: (w, ()),
      ...     loss=lambda w, fixed, support, key: jnp.mean((w - support.targets) ** 2),
      ...     optimizer=optax.sgd(0.25),
      ...     num_steps=2,
      ... )
      >>> loss = estimators.displacement(
      ...     problem, lambda params, w, query, key: jnp.mean((w - query.targets) ** 2)
      ... )
      >>> batch = base.Batch((), 2 * jnp.ones(1), jnp.ones(1))
      >>> print(jax.grad(loss, has_aux=True)(jnp.zeros(()), base.Task(batch, batch))[0])
      -1.5

    References:
      Nichol et al., `On First-Order Meta-Learning Algorithms
      <https://arxiv.org/abs/1803.02999>`_, 2018.
    """
    if problem.num_steps < 1:
        raise ValueError(
            "displacement is how far inner steps move and takes one or more, got"
            f" num_steps={problem.num_steps}; take reverse for none."
        )
    check_last_step_only("displacement", problem)
    phase = inner.Phase(problem.num_steps, stopped_value_and_grad)
    run = solve_and_evaluate(problem, query_loss, [phase])

    def loss(params, task, key=None, step=None):
        value, info, solution = run(params, task, key, step)
        moved = jax.tree.map(jnp.subtract, solution.start, solution.fast)
        return pulled(jax.lax.stop_gradient(value), solution.start, moved), info

    return loss
