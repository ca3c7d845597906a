"""Exact meta-gradients by forward-over-reverse differentiation, in little memory."""

from collections.abc import Callable
from typing import Any

import jax
import jax.extend as jex
import jax.numpy as jnp
import numpy as np

from metaflax import base, tree
from metaflax.estimators._rematerialized import rematerialized_phase
from metaflax.estimators._unrolled import check_optimizer, unrolled


def mixed_mode(
    problem: base.InnerProblem,
    query_loss: base.QueryLossFn,
    *,
    remat_every: int | None = None,
) -> base.MetaLossFn:
    r"""Computes the gradient of `reverse` by forward-over-reverse differentiation.

    The backward pass through an inner gradient needs
    :math:`v \mapsto \partial_{(\phi, \eta)} \langle v, \nabla_\phi L(\phi, \eta)
    \rangle`. Second derivatives commute, so that this is the derivative of
    :math:`\nabla_{(\phi, \eta)} L` along v in :math:`\phi`, one forward pass beside
    the gradient: no activation of the inner backward pass is kept for a second one.

    Args:
      problem: the inner problem; the gradient of its loss must have a forward
        derivative.
      query_loss: evaluates the adapted parameters.
      remat_every: inner steps per segment. Only the adapted parameters and the
        optimizer's state at the start of each segment are stored, the rest is
        recomputed; 1 stores them at each step, about sqrt(K) stores least. None also
        stores whatever the derivative of the optimizer needs, which for plain SGD is
        nothing.

    Returns:
      `value, info = loss(params, task, key, step)`, to be differentiated by
      `jax.grad`.

    Raises:
      ValueError: if the inner optimizer has no finite derivative where a gradient is
        0; when its derivative is traced, naming the operation, where the
        inner gradient holds a `custom_vjp`, which has no forward rule, or where a
        derivative of the meta-gradient is asked for. `jax.jvp` of the loss raises
        JAX's own `TypeError`; for both take `reverse`.

    Examples:
      >>> import jax, jax.numpy as jnp, optax
      >>> from metaflax import base, estimators
      >>> problem = base.InnerProblem(
      ...     start=lambda w, support, key: (w, ()),
      ...     loss=lambda w, fixed, support, key: jnp.mean((w - support.targets) ** 2),
      ...     optimizer=optax.sgd(0.25),
      ...     num_steps=1,
      ... )
      >>> loss = estimators.mixed_mode(
      ...     problem, lambda params, w, query, key: jnp.mean((w - query.targets) ** 2)
      ... )
      >>> batch = base.Batch((), 2 * jnp.ones(1), jnp.ones(1))
      >>> print(jax.grad(loss, has_aux=True)(jnp.zeros(()), base.Task(batch, batch))[0])
      -1.0

    References:
      Kemaev et al., `Scalable Meta-Learning via Mixed-Mode Differentiation
      <https://arxiv.org/abs/2505.00793>`_, 2025.
    """
    check_optimizer("mixed_mode", problem)
    phase = rematerialized_phase(problem.num_steps, forward_over_reverse, remat_every)
    return unrolled(problem, query_loss, [phase])


def forward_over_reverse(fn: Callable[..., jax.Array]) -> Callable[..., Any]:
    """`jax.value_and_grad` whose own derivative is taken in forward mode.

    Args:
      fn: a scalar function of a float tree, and of more arguments of any kind.

    Returns:
      `value, grads = value_and_grad(fast, *rest)`, with respect to `fast`. Its
      derivative reaches `rest` too.
    """

    @jax.custom_vjp
    def value_and_grad(fast, *rest):
        return jax.value_and_grad(fn)(fast, *rest)

    def forward(*args):
        _check_forward_rules(fn, args)
        # Not `value_and_grad` itself, so that only its backward pass is custom.
        return jax.value_and_grad(fn)(*args), args

    def backward(args, cotangents):
        by_value, by_grad = cotangents
        floats, others = tree.partition(args, tree.everything)

        def gradients(fast):
            def of(floats):
                return fn(*tree.merge(floats, others))

            return jax.grad(of)((fast, *floats[1:]))

        grads, along = jax.jvp(gradients, (floats[0],), (by_grad,))
        total = jax.tree.map(
            lambda g, h: by_value.astype(g.dtype) * g + h, grads, along
        )
        return tree.merge(_once(total), jax.tree.map(_no_tangent, others))

    value_and_grad.defvjp(forward, backward)
    return value_and_grad


@jax.custom_jvp
def _once(values: Any) -> Any:
    """Returns its argument, and refuses to be differentiated."""
    return values


@_once.defjvp
def _refuse(primals: Any, tangents: Any) -> Any:
    raise ValueError(
        "mixed_mode gives a first derivative, the meta-gradient; for a derivative of"
        " that, such as a Hessian, take the estimator reverse."
    )


def _no_tangent(x: Any) -> np.ndarray:
    """Returns the cotangent of integers and keys, which JAX requires."""
    return np.zeros(jnp.shape(x), jax.dtypes.float0)


def _check_forward_rules(fn: Callable[..., Any], args: Any) -> None:
    """Refuses operations that define a reverse-mode derivative alone.

    JAX raises an error too, but only when it compiles, and without a name.
    """
    gradient = jax.make_jaxpr(jax.grad(fn))(*args)
    names = sorted(set(_reverse_only(gradient.jaxpr)))
    if names:
        raise ValueError(
            "mixed_mode needs a forward derivative of the inner gradient, and the"
            f" custom_vjp {', '.join(map(repr, names))} in it has none; use the"
            " estimator reverse, or an implementation of the operation without"
            ' custom_vjp (for attention, "xla").'
        )


def _reverse_only(jaxpr: Any):
    for equation in jaxpr.eqns:
        if equation.primitive.name.startswith("custom_vjp_call"):
            info = equation.params["call_jaxpr"].jaxpr.debug_info
            yield info.func_src_info.split(" at ")[0]
        for inner in jex.core.jaxprs_in_params(equation.params):
            yield from _reverse_only(inner)
