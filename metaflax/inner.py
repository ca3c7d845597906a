"""The inner solve: a few optimizer steps on one task's support loss."""

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from metaflax import base

# Up to here the steps are unrolled, which runs faster than a loop; beyond, the time
# to compile them would outgrow what they save.
MAX_UNROLLED_STEPS = 3


class Solution(NamedTuple):
    """Where an inner solve began and ended.

    Attributes:
      start: what adapts, before the first step.
      fast: the same after the last.
      fixed: what the inner loss read besides, as `InnerProblem.start` gave it.
      info: the support losses on the way.
    """

    start: Any
    fast: Any
    fixed: Any
    info: base.InnerInfo


def solve(
    problem: base.InnerProblem,
    params: optax.Params,
    support: base.Batch,
    key: chex.PRNGKey | None = None,
    *,
    value_and_grad: Callable[..., Any] = jax.value_and_grad,
) -> Solution:
    """Descends the support loss for `problem.num_steps` optimizer steps.

    Args:
      problem: what to minimise, from where, and how.
      params: the meta-parameters.
      support: one task's support set, leaves `[S, ...]`.
      key: for dropout; None is deterministic.
      value_and_grad: makes the inner gradient from the inner loss; an estimator
        may pass one with a derivative of its own.

    Returns:
      A `Solution`; the optimizer's state starts afresh and is dropped.
    """
    start_key, steps_key = base.split_key(key)
    start, fixed = problem.start(params, support, start_key)
    if not problem.num_steps:  # A scan of no steps cannot run without jit.
        return Solution(start, start, fixed, base.InnerInfo(jnp.zeros(0)))
    optimizer = problem.optimizer(params)
    loss_and_grad = value_and_grad(problem.loss)

    def step(carry, step_key):
        fast, state = carry
        loss, grads = loss_and_grad(fast, fixed, support, step_key)
        updates, state = optimizer.update(grads, state, fast)
        return (optax.apply_updates(fast, updates), state), loss

    num_steps = problem.num_steps
    keys = None if steps_key is None else jax.random.split(steps_key, num_steps)
    (fast, _), losses = jax.lax.scan(
        step,
        (start, optimizer.init(start)),
        keys,
        length=num_steps,
        unroll=num_steps if num_steps <= MAX_UNROLLED_STEPS else 1,
    )
    return Solution(start, fast, fixed, base.InnerInfo(losses))
