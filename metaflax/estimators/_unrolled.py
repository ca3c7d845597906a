"""The query loss after an inner solve, shared by estimators that go through it."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import optax

from metaflax import _checks, _optimizers, base, inner
from metaflax.base._estimator import outer_step


def solve_and_evaluate(
    problem: base.InnerProblem,
    query_loss: base.QueryLossFn,
    phases: Sequence[inner.Phase],
):
    """Runs the inner solve and evaluates the query loss.

    Where the problem weighs intermediate steps the value is the weighted sum of the
    query losses after each.

    Args:
      problem: the inner problem.
      query_loss: evaluates the adapted parameters.
      phases: how the steps are differentiated, see `inner.solve`.

    Returns:
      `value, info, solution = fn(params, task, key, step)`.
    """

    def fn(params, task, key, step):
        inner_key, query_key = base.split_key(key)

        def evaluate(fast, fixed):
            adapted = problem.finish(fast, fixed)
            return _checks.with_aux(query_loss(params, adapted, task.query, query_key))

        weights_of = problem.query_weights
        observe = None if weights_of is None else evaluate
        solution = inner.solve(
            problem, params, task.support, inner_key, phases=phases, observe=observe
        )
        if weights_of is None:
            value, aux = evaluate(solution.fast, solution.fixed)
            last = value
        else:
            each, auxiliaries = solution.observed  # [K], leaves [K, ...]
            aux = jax.tree.map(lambda x: x[-1], auxiliaries)
            weights = weights_of(outer_step(step)).astype(each.dtype)
            value, last = jnp.vdot(weights, each), each[-1]
        info = base.MetaInfo(solution.info.losses, last, aux)
        return value, jax.lax.stop_gradient(info), solution

    return fn


def unrolled(
    problem: base.InnerProblem,
    query_loss: base.QueryLossFn,
    phases: Sequence[inner.Phase],
) -> base.MetaLossFn:
    """Computes the query loss, differentiable through the inner steps as `phases` say.

    Args:
      problem: the inner problem.
      query_loss: evaluates the adapted parameters.
      phases: how the steps are differentiated.

    Returns:
      `value, info = loss(params, task, key, step)`.
    """
    run = solve_and_evaluate(problem, query_loss, phases)

    def loss(params, task, key=None, step=None):
        value, info, _ = run(params, task, key, step)
        return value, info

    return loss


def check_optimizer(
    name: str, problem: base.InnerProblem, *, of_gradients: bool = True
) -> None:
    """Refuses an inner optimizer through which `name` cannot differentiate.

    A learned one is not checked here: `inner_optimizers` check what they wrap.
    """
    optimizer = problem.optimizer
    if problem.num_steps and isinstance(
        optimizer, optax.GradientTransformation | optax.MultiSteps
    ):
        _optimizers.check_derivative(name, optimizer, of_gradients=of_gradients)


def check_last_step_only(name: str, problem: base.InnerProblem) -> None:
    """Refuses weights of intermediate steps, which `name` never differentiates."""
    if problem.query_weights is not None:
        raise ValueError(
            f"{name} judges where the inner steps end and cannot serve query_weights;"
            " leave them out, or take reverse, mixed_mode, first_order or truncated."
        )
