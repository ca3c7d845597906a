"""The inner solve: a few optimizer steps on one task's support loss."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import chex
import jax
import jax.numpy as jnp
import optax

from metaflax import _checks, _optimizers, base
from metaflax.tree._paths import is_empty

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
      num_steps: number of steps.
      value_and_grad: makes the inner gradient from the inner loss; an estimator may
        give it a derivative of its own.
      wrap: put around every segment of steps, for instance `jax.checkpoint`.
      segment: number of steps per segment.

    Examples:
      >>> import jax, jax.numpy as jnp, optax
      >>> from metaflax import base, inner
      >>> problem = base.InnerProblem(
      ...     start=lambda w, support, key: (w, ()),
      ...     loss=lambda w, fixed, support, key: (w - support.targets) ** 2,
      ...     optimizer=optax.sgd(0.25),
      ...     num_steps=3,
      ... )
      >>> support = base.Batch((), jnp.array(2.0), jnp.ones(()))
      >>> def stopped(fn):
      ...     return lambda *args: jax.lax.stop_gradient(jax.value_and_grad(fn)(*args))
      >>> phases = [inner.Phase(2, stopped), inner.Phase(1)]  # The last step is exact.
      >>> reached = lambda w: inner.solve(problem, w, support, phases=phases).fast
      >>> print(reached(0.0), jax.grad(reached)(0.0))
      1.75 0.5
    """

    num_steps: int
    value_and_grad: Callable[..., Any] = jax.value_and_grad
    wrap: Callable[[_StepFn], _StepFn] | None = None
    segment: int = 1


class Solution(NamedTuple):
    """The start and the end of an inner solve.

    Attributes:
      start: the adapted parameters before the first step.
      fast: the adapted parameters after the last step.
      fixed: everything else that the inner loss reads, see `InnerProblem.start`.
      info: the support losses on the way.
      observed: outputs of `observe` after each step, `[K, ...]`; None without it.

    Examples:
      >>> import jax.numpy as jnp, optax
      >>> from metaflax import base, inner
      >>> problem = base.InnerProblem(
      ...     start=lambda w, support, key: (w, ()),
      ...     loss=lambda w, fixed, support, key: (w - support.targets) ** 2,
      ...     optimizer=optax.sgd(0.25),
      ...     num_steps=2,
      ... )
      >>> support = base.Batch((), jnp.array(2.0), jnp.ones(()))
      >>> solution = inner.solve(problem, jnp.zeros(()), support)
      >>> print(solution.start, solution.fast, solution.info.losses)
      0.0 1.5 [4. 1.]
    """

    start: Any
    fast: Any
    fixed: Any
    info: base.InnerInfo
    observed: Any = None


def objective(problem: base.InnerProblem) -> Callable[..., jax.Array]:
    """Builds the inner objective: the support loss plus the proximal term.

    Args:
      problem: the inner problem.

    Returns:
      `value = fn(fast, (start, fixed), support, key)`, a scalar, of a support set with
      leaves `[S, ...]`.

    Examples:
      >>> import optax
      >>> from metaflax import base, inner
      >>> problem = base.InnerProblem(
      ...     start=lambda w, support, key: (w, ()),
      ...     loss=lambda w, fixed, support, key: (w - 2) ** 2,
      ...     optimizer=optax.sgd(0.1),
      ...     num_steps=1,
      ...     proximal=4.0,
      ... )
      >>> value = inner.objective(problem)
      >>> print(value(1.0, (0.0, ()), None, None))  # 1, plus 4 / 2 times 1.
      3.0
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
      problem: the inner problem.
      params: the meta-parameters.
      support: one task's support set, leaves `[S, ...]`.
      key: for dropout; None is deterministic.
      phases: how the steps are differentiated, first to last; their numbers of
        steps add up to K. None for plain differentiation.
      observe: `observe(fast, fixed)`, evaluated after every step.

    Returns:
      A `Solution`; the optimizer's state starts afresh and is dropped.

    Raises:
      ValueError: if there are steps and nothing adapts, or the optimizer cannot take
        one; for complex parameters.

    Examples:
      >>> import jax.numpy as jnp, optax
      >>> from metaflax import base, inner
      >>> problem = base.InnerProblem(
      ...     start=lambda w, support, key: (w, ()),
      ...     loss=lambda w, fixed, support, key: (w - support.targets) ** 2,
      ...     optimizer=optax.sgd(0.25),
      ...     num_steps=3,
      ... )
      >>> support = base.Batch((), jnp.array(2.0), jnp.ones(()))
      >>> solution = inner.solve(
      ...     problem, jnp.zeros(()), support, observe=lambda w, fixed: w
      ... )
      >>> print(solution.observed, solution.info.losses)
      [1.   1.5  1.75] [4.   1.   0.25]
    """
    start_key, steps_key = base.split_key(key)
    start, fixed = problem.start(params, support, start_key)
    start = _varying_as(support, start)
    _checks.check_real("adapts", start)
    num_steps = problem.num_steps
    if not num_steps:  # A scan of no steps cannot run without jit.
        return Solution(start, start, fixed, base.InnerInfo(jnp.zeros(0)))
    if is_empty(start):
        raise ValueError(
            f"{num_steps} inner steps have nothing to change: what adapts chooses no"
            " parameter that there is; compare it with tree.paths(params)."
        )
    optimizer = _optimizer_of(problem, params)
    update = _with_extra_arguments(optimizer)
    value_of = objective(problem)

    def step_of(value_and_grad) -> _StepFn:
        loss_and_grad = value_and_grad(value_of)

        def step(carry, of_step):
            fast, state = carry
            step_key, batch = of_step, support
            if problem.batch_of_step is not None:
                number, step_key = of_step
                batch = problem.batch_of_step(support, number)
            loss, grads = loss_and_grad(fast, (start, fixed), batch, step_key)
            with jax.named_scope("inner_update"):
                updates, state = update(
                    grads,
                    state,
                    fast,
                    value=loss,
                    grad=grads,
                    value_fn=lambda x: value_of(x, (start, fixed), batch, step_key),
                )
                fast = optax.apply_updates(fast, updates)
            observed = None if observe is None else observe(fast, fixed)
            return (fast, state), (loss, observed)

        return step

    keys = None if steps_key is None else jax.random.split(steps_key, num_steps)
    carry, outs, first = (start, _varying_as(support, optimizer.init(start))), [], 0
    for phase in phases or [Phase(num_steps)]:
        last = first + phase.num_steps
        part = None if keys is None else keys[first:last]
        if problem.batch_of_step is not None:
            part = jnp.arange(first, last), part
        carry, out = _run(phase, step_of(phase.value_and_grad), carry, part)
        outs, first = [*outs, out], last
    losses, observed = _joined(outs)
    return Solution(start, carry[0], fixed, base.InnerInfo(losses), observed)


def _varying_as(support: base.Batch, values: Any) -> Any:
    """Marks values as different on each device where the support set is.

    Under `jax.shard_map`, the gradient of replicated values would be summed over
    devices, and thereby over tasks. Elsewhere it does nothing.
    """
    axes = frozenset().union(*map(_varying_axes, jax.tree.leaves(support)))

    def mark(x):
        missing = tuple(sorted(axes - _varying_axes(x)))
        return jax.lax.pcast(x, missing, to="varying") if missing else x

    return jax.tree.map(mark, values) if axes else values


def _varying_axes(x: Any) -> frozenset[str]:
    """Returns the mesh axes along which a value differs between devices."""
    aval = jax.typeof(x)
    manual = getattr(aval, "mat", None)  # In JAX 0.10; `vma` before.
    return aval.vma if manual is None else manual.varying


def _optimizer_of(
    problem: base.InnerProblem, params: optax.Params
) -> optax.GradientTransformation:
    """Returns the optimizer of a problem, made from parameters if it is learned."""
    optimizer = problem.optimizer
    made = optimizer(params) if callable(optimizer) else optimizer
    return _optimizers.as_transformation(made)


def _with_extra_arguments(
    optimizer: optax.GradientTransformation,
) -> Callable[..., tuple[Any, Any]]:
    """Returns the update of an optimizer, with its name in the error if it fails."""
    taking_extra = optax.with_extra_args_support(optimizer)

    def update(grads, state, fast, **extra):
        try:
            return taking_extra.update(grads, state, fast, **extra)
        except (AttributeError, TypeError) as error:
            raise ValueError(
                f"the inner optimizer {_optimizers.name_of(optimizer)} cannot take a"
                " step in an inner loop, which gives it gradients, parameters, value,"
                f" grad and value_fn ({error}); take another, such as optax.sgd."
            ) from error

    return update


def _run(phase: Phase, step: _StepFn, carry: Any, keys: Any) -> tuple[Any, Any]:
    """Runs the steps of a phase, segment after segment."""
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
