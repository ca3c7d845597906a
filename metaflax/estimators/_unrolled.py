"""The query loss after an inner solve, shared by estimators that go through it."""

from collections.abc import Callable
from typing import Any

import jax

from metaflax import base, inner


def unrolled(
    problem: base.InnerProblem,
    query_loss: base.QueryLossFn,
    value_and_grad: Callable[..., Any] = jax.value_and_grad,
) -> base.MetaLossFn:
    """The query loss of where the inner steps arrive, differentiable through them.

    Args:
      problem: the inner problem.
      query_loss: judges what adaptation made.
      value_and_grad: makes the inner gradient, see `inner.solve`.

    Returns:
      `value, info = loss(params, task, key)`.
    """

    def loss(params, task, key=None):
        inner_key, query_key = base.split_key(key)
        solution = inner.solve(
            problem, params, task.support, inner_key, value_and_grad=value_and_grad
        )
        adapted = problem.finish(solution.fast, solution.fixed)
        value = query_loss(params, adapted, task.query, query_key)
        return value, base.MetaInfo(solution.info.losses, value)

    return loss
