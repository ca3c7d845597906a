"""Meta-gradients of single inner steps along the trajectory of adaptation."""

import jax
import jax.numpy as jnp

from metaflax import base, inner
from metaflax.estimators._surrogate import pulled
from metaflax.estimators._unrolled import check_optimizer, solve_and_evaluate


def trajectory(
    problem: base.InnerProblem, query_loss: base.QueryLossFn
) -> base.MetaLossFn:
    r"""Estimates the meta-gradient from each inner step by itself.

    The parameters before step k count as constant, so that no derivative passes from
    one step to another:

    .. math::

      g = \nabla_\eta \sum_k w_k L_Q\big(\bar\phi_k - \alpha \nabla_\phi
      L_S(\bar\phi_k, \eta), \eta\big), \qquad \bar\phi_k \text{ constant},

    with weights of 1/K unless the problem has its own. The gradient of the start is the
    displacement, as in `displacement`.

    Args:
      problem: the inner problem, with at least one step.
      query_loss: evaluates the adapted parameters.

    Returns:
      `value, info = loss(params, task, key, step)`, to be differentiated by
      `jax.grad`.

    Raises:
      ValueError: if there is no inner step, or the inner optimizer has no finite
        derivative where a gradient is 0.

    Examples:
      >>> import jax, jax.numpy as jnp, optax
      >>> from metaflax import base, estimators
      >>> problem = base.InnerProblem(
      ...     start=lambda params, support, key: (params["w"], params["scale"]),
      ...     loss=lambda w, scale, support, key: jnp.mean((scale * w - 2) ** 2),
      ...     optimizer=optax.sgd(0.25),
      ...     num_steps=2,
      ... )
      >>> loss = estimators.trajectory(
      ...     problem, lambda params, w, query, key: jnp.mean((w - query.targets) ** 2)
      ... )
      >>> batch = base.Batch((), 2 * jnp.ones(1), jnp.ones(1))
      >>> params = {"w": jnp.zeros(()), "scale": jnp.ones(())}
      >>> grads, _ = jax.grad(loss, has_aux=True)(params, base.Task(batch, batch))
      >>> print(grads["scale"], grads["w"])
      -1.0 -1.5

    References:
      Flennerhag et al., `Meta-Learning with Warped Gradient Descent
      <https://arxiv.org/abs/1909.00025>`_, 2020, equation 8, which leaves open how
      the start is learned.
    """
    num_steps = problem.num_steps
    if num_steps < 1:
        raise ValueError(
            f"trajectory learns from every inner step and takes one or more, got"
            f" num_steps={num_steps}; take reverse for none."
        )
    check_optimizer("trajectory", problem)
    if problem.query_weights is None:
        problem = problem._replace(
            query_weights=lambda step: jnp.full(num_steps, 1 / num_steps)
        )

    def detached(step):
        return lambda carry, key: step(jax.lax.stop_gradient(carry), key)

    phase = inner.Phase(num_steps, wrap=detached)
    run = solve_and_evaluate(problem, query_loss, [phase])

    def loss(params, task, key=None, step=None):
        value, info, solution = run(params, task, key, step)
        moved = jax.tree.map(jnp.subtract, solution.start, solution.fast)
        return pulled(value, solution.start, moved), info

    return loss
