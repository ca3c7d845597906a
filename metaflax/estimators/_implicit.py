"""Implicit meta-gradients, at a minimum of the inner objective."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from metaflax import _checks, base, inner, linalg
from metaflax.estimators._first_order import stopped_value_and_grad
from metaflax.estimators._surrogate import pulled
from metaflax.estimators._unrolled import check_last_step_only
from metaflax.linalg._symmetric import Solution

TEN_STEPS = functools.partial(linalg.conjugate_gradient, max_steps=10)


class ImplicitInfo(NamedTuple):
    """`base.MetaInfo`, and how well the assumptions of `implicit` hold.

    Attributes:
      losses: `[K]`, the inner objective before each inner step.
      query_loss: the query loss after the last.
      slope: the norm of the inner objective's gradient after the last step; the
        estimate assumes that it is 0.
      residual: residual of the linear system, relative to its right-hand side.
      aux: as in `base.MetaInfo`.
    """

    losses: jax.Array
    query_loss: jax.Array
    slope: jax.Array
    residual: jax.Array
    aux: Any = ()

    @property
    def diverged(self) -> jax.Array:
        """Whether the inner objective rose or became non-finite; bool `[]`."""
        return base.diverged(self.losses)


def implicit(
    solver: Callable[..., Solution] = TEN_STEPS,
    *,
    remaining: float = 0.1,
) -> base.Estimator:
    r"""Estimates the meta-gradient by the implicit function theorem.

    At a minimum :math:`\phi^*` of the inner objective :math:`F(\phi, \theta) =
    L_S(\phi, \theta) + \frac{\lambda}{2} |\phi - \phi_0(\theta)|^2`,

    .. math::

      g = \partial_\theta L_Q - \partial_\theta \langle u, \nabla_\phi F \rangle,
      \qquad \nabla^2_\phi F\, u = \nabla_\phi L_Q,

    without a derivative of the steps that led there: time and memory of the backward
    pass do not depend on their number.

    Args:
      solver: `linalg.conjugate_gradient` or `linalg.neumann_series` with their
        damping, tolerance and number of steps filled in by `functools.partial`.
      remaining: the largest share of the distance to the minimum that the inner steps
        may leave on the proximal term alone. With a larger share, they cannot come near
        a minimum.

    Returns:
      An `Estimator`, whose `info` is an `ImplicitInfo`. It raises a `ValueError` for
      a problem without a proximal term, with a learned inner optimizer (the minimum
      does not depend on it), with weights of intermediate steps, or whose inner steps
      cannot come near a minimum.

    Examples:
      >>> import functools
      >>> import jax, jax.numpy as jnp, optax
      >>> import metaflax
      >>> from metaflax import estimators, linalg
      >>> series = functools.partial(linalg.neumann_series, step_size=0.5, num_steps=9)
      >>> algorithm = metaflax.imaml(
      ...     lambda w, x, key: w * x,
      ...     lambda out, y, weights: 0.5 * jnp.mean(weights * (out - y) ** 2),
      ...     lambda key: jnp.zeros(()),
      ...     optax.sgd(0.25),
      ...     estimator=estimators.implicit(series),
      ... )
      >>> batch = metaflax.Batch(jnp.ones(1), 2 * jnp.ones(1), jnp.ones(1))
      >>> gradient = jax.jit(jax.grad(algorithm.loss, has_aux=True))
      >>> grad, info = gradient(jnp.zeros(()), metaflax.Task(batch, batch))
      >>> print(f"{grad:.3f}", info.residual)
      -0.500 0.0

    References:
      Rajeswaran et al., `Meta-Learning with Implicit Gradients
      <https://arxiv.org/abs/1909.04630>`_, 2019. Lorraine et al., `Optimizing
      Millions of Hyperparameters by Implicit Differentiation
      <https://arxiv.org/abs/1911.02590>`_, 2020, for the Neumann series.
    """

    def estimator(
        problem: base.InnerProblem, query_loss: base.QueryLossFn
    ) -> base.MetaLossFn:
        _check(problem, remaining)
        phase = inner.Phase(problem.num_steps, stopped_value_and_grad)
        objective = inner.objective(problem)

        def loss(params, task, key=None, step=None):
            del step
            inner_key, query_key = base.split_key(key)
            solution = jax.lax.stop_gradient(
                inner.solve(problem, params, task.support, inner_key, phases=[phase])
            )
            minimum = solution.fast

            def query_value(params, fast):
                _, fixed = problem.start(params, task.support, inner_key)
                adapted = problem.finish(fast, fixed)
                result = query_loss(params, adapted, task.query, query_key)
                return _checks.with_aux(result)

            def slope(params, support, fast):
                start, fixed = problem.start(params, support, inner_key)
                return jax.grad(objective)(fast, (start, fixed), support, None)

            fixed_slope = functools.partial(
                slope, *jax.lax.stop_gradient((params, task.support))
            )

            def hessian(direction):
                return jax.jvp(fixed_slope, (minimum,), (direction,))[1]

            value, aux = query_value(params, minimum)
            by_fast, _ = jax.grad(query_value, 1, has_aux=True)(params, minimum)
            solved = jax.lax.stop_gradient(solver(hessian, by_fast))
            along = slope(params, task.support, minimum)
            negated = jax.tree.map(jnp.negative, solved.x)
            info = ImplicitInfo(
                solution.info.losses,
                value,
                optax.tree.norm(along),
                solved.residual,
                aux,
            )
            return pulled(value, along, negated), jax.lax.stop_gradient(info)

        return loss

    return estimator


def _check(problem: base.InnerProblem, remaining: float) -> None:
    check_last_step_only("implicit", problem)
    if not problem.proximal > 0:
        raise ValueError(
            "implicit needs an inner objective with a minimum of its own that depends"
            f" on the start, got proximal={problem.proximal}; give a positive one (as"
            " imaml does), or take reverse."
        )
    if not isinstance(problem.optimizer, optax.GradientTransformation):
        raise ValueError(
            "implicit cannot learn an inner optimizer, since a minimum does not depend"
            " on the steps towards it; give a fixed one, or take reverse."
        )
    if problem.batch_of_step is not None:
        raise ValueError(
            "implicit needs one inner objective, and batch_of_step makes another of"
            " each step; leave it out, or take reverse."
        )
    with jax.ensure_compile_time_eval():  # An algorithm may be built within `jit`.
        left = _share_left(problem.optimizer, problem.proximal, problem.num_steps)
    if not left <= remaining:
        raise ValueError(
            f"implicit takes the inner steps for converged, but {problem.num_steps} of"
            f" this inner optimizer leave {left:.2g} of a distance that proximal="
            f"{problem.proximal} alone would close (more than remaining={remaining});"
            " take more steps, another rate or a stronger proximal term, or reverse."
        )


def _share_left(
    optimizer: optax.GradientTransformation, curvature: float, num_steps: int
) -> float:
    """Computes the distance to a parabola's minimum after the steps, from 1."""
    x: Any = jnp.ones(())
    state, optimizer = optimizer.init(x), optax.with_extra_args_support(optimizer)

    def value_fn(x):
        return curvature / 2 * x**2

    for _ in range(num_steps):
        grad = curvature * x
        updates, state = optimizer.update(
            grad, state, x, value=value_fn(x), grad=grad, value_fn=value_fn
        )
        x = optax.apply_updates(x, updates)
    return float(jnp.abs(x))
