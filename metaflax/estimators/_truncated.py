"""Truncated meta-gradients, through the last inner steps alone."""

import jax

from metaflax import base, inner
from metaflax.estimators._first_order import stopped_value_and_grad
from metaflax.estimators._unrolled import check_optimizer, unrolled


def truncated(num_steps: int) -> base.Estimator:
    r"""Differentiates through the last n inner steps.

    The gradients of the earlier K - n steps count as constants, as in
    `first_order`, which is n = 0; `reverse` is n = K. Time and memory are those of
    n steps, and the bias falls off as the steps contract.

    Args:
      num_steps: n; all of them where the problem has fewer.

    Returns:
      An `Estimator`.

    Raises:
      ValueError: if n is negative; from the estimator, if the inner optimizer has no
        finite derivative where a gradient is 0.

    Examples:
      >>> import jax, jax.numpy as jnp, optax
      >>> from metaflax import base, estimators
      >>> problem = base.InnerProblem(
      ...     start=lambda w, support, key: (w, ()),
      ...     loss=lambda w, fixed, support, key: jnp.mean((w - support.targets) ** 2),
      ...     optimizer=optax.sgd(0.25),
      ...     num_steps=2,
      ... )
      >>> query_loss = lambda params, w, query, key: jnp.mean((w - query.targets) ** 2)
      >>> batch = base.Batch((), 2 * jnp.ones(1), jnp.ones(1))
      >>> for exact_steps in 0, 1, 2:
      ...     loss = estimators.truncated(exact_steps)(problem, query_loss)
      ...     task = base.Task(batch, batch)
      ...     print(jax.grad(loss, has_aux=True)(jnp.zeros(()), task)[0])
      -1.0
      -0.5
      -0.25

    References:
      Shaban et al., `Truncated Back-propagation for Bilevel Optimization
      <https://arxiv.org/abs/1810.10667>`_, 2019.
    """
    if num_steps < 0:
        raise ValueError(
            f"truncated keeps the derivative of the last n steps, got {num_steps};"
            " give 0 (first order) or more."
        )

    def estimator(
        problem: base.InnerProblem, query_loss: base.QueryLossFn
    ) -> base.MetaLossFn:
        check_optimizer("truncated", problem, of_gradients=num_steps > 0)
        exact = min(num_steps, problem.num_steps)
        phases = [
            inner.Phase(problem.num_steps - exact, stopped_value_and_grad),
            inner.Phase(exact, jax.value_and_grad),
        ]
        return unrolled(problem, query_loss, [p for p in phases if p.num_steps])

    return estimator
