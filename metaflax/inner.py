"""The inner solve: a few optimizer steps on one task's support loss."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import chex
import jax
import jax.numpy as jnp
import optax

from metaflax import base, tree

__all__ = [
    "Phase",
    "Solution",
    "objective",
    "solve",
]

# Up to here the steps are unrolled, which runs faster than a loop; beyond, the time
# to compile them would outgrow what they save.
_MAX_UNROLLED_STEPS = 3

_StepFn: TypeAlias = Callable[[Any, Any], tuple[Any, Any]]


class Phase(NamedTuple):
    """Consecutive inner steps that are differentiated in the same way.

    Attributes:
      num_steps: how many.
      value_and_grad: makes the inner gradient from the inner loss; an estimator may
        give it a derivative of its own.
      wrap: put around every segment of steps, for instance `jax.checkpoint`.
      segment: steps in each.
    """

    num_steps: int
    value_and_grad: Callable[..., Any] = jax.value_and_grad
    wrap: Callable[[_StepFn], _StepFn] | None = None
    segment: int = 1


class Solution(NamedTuple):
    """The start and the end of an inner solve.

    Attributes:
      start: what adapts, before the first step.
      fast: the same after the last.
      fixed: what the inner loss read besides, as `InnerProblem.start` gave it.
      info: the support losses on the way.
      observed: what `observe` saw after each step, `[K, ...]`; None without.
    """

    start: Any
    fast: Any
    fixed: Any
    info: base.InnerInfo
    observed: Any = None


def objective(problem: base.InnerProblem) -> Callable[..., jax.Array]:
    """The inner objective: the support loss plus the proximal term.

    Returns:
      `value = fn(fast, (start, fixed), support, key)`.
    """

    def value(fast, begun, support, key):
        start, fixed = begun
        loss = problem.loss(fast, fixed, support, key)
        if not problem.proximal:
            return loss
        moved = jax.tree.map(jnp.subtract, fast, start)
        return loss + 0.5 * problem.proximal * optax.tree.norm(moved, squared=True)

    return value


def solve(
    problem: base.InnerProblem,
    params: optax.Params,
    support: base.Batch,
    key: chex.PRNGKey | None = None,
    *,
    phases: Sequence[Phase] | None = None,
    observe: Callable[[Any, Any], Any] | None = None,
) -> Solution:
    """Descends the inner objective for `problem.num_steps` optimizer steps.

    Args:
      problem: what to minimise, from where, and how.
      params: the meta-parameters.
      support: one task's support set, leaves `[S, ...]`.
      key: for dropout; None is deterministic.
      phases: how the steps are differentiated, first to last; their numbers of
        steps add up to K. None for plain differentiation.
      observe: `observe(fast, fixed)`, evaluated after every step.

    Returns:
      A `Solution`; the optimizer's state starts afresh and is dropped.

    Raises:
      ValueError: if there are steps and nothing adapts.
    """
    start_key, steps_key = base.split_key(key)
    start, fixed = problem.start(params, support, start_key)
    num_steps = problem.num_steps
    if not num_steps:  # A scan of no steps cannot run without jit.
        return Solution(start, start, fixed, base.InnerInfo(jnp.zeros(0)))
    if tree.is_empty(start):
        raise ValueError(
            f"{num_steps} inner steps have nothing to change: what adapts chooses no"
            " parameter that there is; compare it with tree.paths(params)."
        )
    optimizer = (
        problem.optimizer
        if isinstance(problem.optimizer, optax.GradientTransformation)
        else problem.optimizer(params)
    )

    def step_of(value_and_grad) -> _StepFn:
        loss_and_grad = value_and_grad(objective(problem))

        def step(carry, step_key):
            fast, state = carry
            loss, grads = loss_and_grad(fast, (start, fixed), support, step_key)
            with jax.named_scope("inner_update"):
                updates, state = optimizer.update(grads, state, fast)
                fast = optax.apply_updates(fast, updates)
            seen = None if observe is None else observe(fast, fixed)
            return (fast, state), (loss, seen)

        return step

    keys = None if steps_key is None else jax.random.split(steps_key, num_steps)
    carry, outs, first = (start, optimizer.init(start)), [], 0
    for phase in phases or [Phase(num_steps)]:
        part = None if keys is None else keys[first : first + phase.num_steps]
        carry, out = _run(phase, step_of(phase.value_and_grad), carry, part)
        outs, first = [*outs, out], first + phase.num_steps
    losses, seen = _joined(outs)
    return Solution(start, carry[0], fixed, base.InnerInfo(losses), seen)


def _run(phase: Phase, step: _StepFn, carry: Any, keys: Any) -> tuple[Any, Any]:
    """The steps of a phase, segment after segment."""
    length = phase.num_steps
    if phase.wrap is None:
        unroll = length if length <= _MAX_UNROLLED_STEPS else 1
        return jax.lax.scan(step, carry, keys, length=length, unroll=unroll)
    if phase.segment == 1:
        return jax.lax.scan(phase.wrap(step), carry, keys, length=length)

    wrap = phase.wrap

    def segment_of(size: int) -> _StepFn:
        return wrap(lambda c, ks: jax.lax.scan(step, c, ks, length=size))

    count, rest = divmod(length, phase.segment)
    whole = count * phase.segment
    outs = []
    if count:
        parts = jax.tree.map(
            lambda k: k[:whole].reshape(count, phase.segment, *k.shape[1:]), keys
        )
        carry, out = jax.lax.scan(segment_of(phase.segment), carry, parts, length=count)
        outs.append(jax.tree.map(lambda x: x.reshape(whole, *x.shape[2:]), out))
    if rest:
        tail = jax.tree.map(lambda k: k[whole:], keys)
        carry, out = segment_of(rest)(carry, tail)
        outs.append(out)
    return carry, _joined(outs)


def _joined(outs: list[Any]) -> Any:
    if len(outs) == 1:
        return outs[0]
    return jax.tree.map(lambda *xs: jnp.concatenate(xs), *outs)
