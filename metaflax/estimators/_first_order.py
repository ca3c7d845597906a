"""First-order meta-gradients: inner gradients count as constants."""

import jax

from metaflax import base, inner
from metaflax.estimators._unrolled import check_optimizer, unrolled


def stopped_value_and_grad(fn):
    """`jax.value_and_grad` whose result has no derivative.

    Its arguments have none either, so that functions within the loss need no second
    derivative, which a fused attention kernel lacks.
    """

    def value_and_grad(*args):
        constants = jax.lax.stop_gradient(args)
        return jax.lax.stop_gradient(jax.value_and_grad(fn)(*constants))

    return value_and_grad


def first_order(
    problem: base.InnerProblem, query_loss: base.QueryLossFn
) -> base.MetaLossFn:
    r"""Estimates the meta-gradient to first order: inner gradients are constants.

    The steps still carry :math:`\partial \phi_K / \partial \phi_0 = I`, so that the
    computation of the start (prototypes, a generated head) is learned, as are learned
    rates; only second derivatives are left out. Parameters that act through inner
    gradients alone, such as weights of support examples, get no gradient at all. The
    support loss needs no second derivative, so that the model may call kernels without
    one.

    Args:
      problem: the inner problem.
      query_loss: evaluates the adapted parameters.

    Returns:
      `value, info = loss(params, task, key, step)`.

    Raises:
      ValueError: if the inner optimizer has no derivative in reverse mode.

    Examples:
      >>> import jax, jax.numpy as jnp, optax
      >>> from metaflax import base, estimators
      >>> problem = base.InnerProblem(
      ...     start=lambda w, support, key: (w, ()),
      ...     loss=lambda w, fixed, support, key: jnp.mean((w - support.targets) ** 2),
      ...     optimizer=optax.sgd(0.25),
      ...     num_steps=1,
      ... )
      >>> loss = estimators.first_order(
      ...     problem, lambda params, w, query, key: jnp.mean((w - query.targets) ** 2)
      ... )
      >>> batch = base.Batch((), 2 * jnp.ones(1), jnp.ones(1))
      >>> print(jax.grad(loss, has_aux=True)(jnp.zeros(()), base.Task(batch, batch))[0])
      -2.0

    References:
      Finn et al., `Model-Agnostic Meta-Learning for Fast Adaptation of Deep
      Networks <https://arxiv.org/abs/1703.03400>`_, 2017, section 5.2.
    """
    check_optimizer("first_order", problem, of_gradients=False)
    return stopped(problem, query_loss)


def stopped(
    problem: base.InnerProblem, query_loss: base.QueryLossFn
) -> base.MetaLossFn:
    """Returns the loss of `first_order` without its check of the optimizer."""
    phase = inner.Phase(problem.num_steps, stopped_value_and_grad)
    return unrolled(problem, query_loss, [phase])
