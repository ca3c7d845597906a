"""The exact meta-gradient, by reverse mode through every inner step."""

from metaflax import base
from metaflax.estimators._unrolled import unrolled


def reverse(
    problem: base.InnerProblem, query_loss: base.QueryLossFn
) -> base.MetaLossFn:
    r"""Differentiates through the inner steps, second derivatives included.

    For one step of gradient descent this is
    :math:`(I - \alpha \nabla^2 L_S(\theta)) \nabla L_Q(\phi)`. Time is about that
    of the inner steps times three; memory grows with the number of steps.

    Args:
      problem: the inner problem; its loss must be twice differentiable.
      query_loss: judges what adaptation made.

    Returns:
      `value, info = loss(params, task, key)`, to be differentiated by `jax.grad`.

    References:
      Finn et al., `Model-Agnostic Meta-Learning for Fast Adaptation of Deep
      Networks <https://arxiv.org/abs/1703.03400>`_, 2017.
    """
    return unrolled(problem, query_loss)
