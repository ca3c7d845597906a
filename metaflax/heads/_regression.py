"""Output layers for regression."""

import jax
import jax.numpy as jnp

from metaflax import base, linalg
from metaflax.heads._membership import counted
from metaflax.heads._scale import check_positive, log
from metaflax.linalg._types import widen


def number_outputs(state, features):
    """Computes `features @ kernel + bias`, one number per unit, `[U]`."""
    return (features @ state["kernel"] + state["bias"][None, :])[:, 0]


def linear_template(num_features: int | None):
    """Returns a template of a layer of one output; None for unknown features."""
    if num_features is None:
        return None

    def template(head_params):
        dtype = jax.tree.leaves(head_params)[0].dtype
        return {
            "kernel": jnp.zeros((num_features, 1), dtype),
            "bias": jnp.zeros(1, dtype),
        }

    return template


def linear_regression(num_features: int) -> base.Head:
    """Linear regression layer whose initialisation the outer loop learns.

    Args:
      num_features: D.

    Returns:
      A `Head` for a number a unit (`numbers`), whose state is a `kernel` `[D, 1]` and
      a `bias` `[1]`; it begins with zeros.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax.heads import linear_regression
      >>> head = linear_regression(2)
      >>> features = jnp.ones((3, 2))
      >>> state = head.fit(head.init(None), features, jnp.ones(3), jnp.ones(3))
      >>> print(head.apply(state, features))
      [0. 0. 0.]

    References:
      Finn et al., `Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks
      <https://arxiv.org/abs/1703.03400>`_, 2017, section 5.1.
    """

    def fit(head_params, features, targets, weights):
        del features, targets, weights  # The start depends on none of them.
        return head_params

    return base.Head(
        lambda key: {"kernel": jnp.zeros((num_features, 1)), "bias": jnp.zeros(1)},
        fit,
        number_outputs,
        frozenset({"numbers"}),
        linear_template(num_features),
        is_linear=True,
    )


def ridge_regression(
    *, strength: float = 1.0, num_features: int | None = None
) -> base.Head:
    r"""Linear regression layer fitted by ridge regression, in closed form.

    .. math::

      k, b = \arg\min_{k, b} \sum_u w_u (f_u^\top k + b - y_u)^2 + \lambda |k|^2.

    The intercept :math:`b` is not shrunk: k solves the problem of features and targets
    less their means, by a system of at most U equations (`linalg.ridge`), through
    which the meta-gradient passes exactly. So however large :math:`\lambda`, the
    layer predicts no worse than the mean of the support set.

    Args:
      strength: initial value of :math:`\lambda`; its logarithm is
        `head/log_strength`, which the outer loop learns.
      num_features: D, which only a `template` needs.

    Returns:
      A `Head` for a number a unit (`numbers`), whose state is a linear layer as that
      of `linear_regression`.

    Raises:
      ValueError: if the strength is not above 0.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax.heads import ridge_regression
      >>> head = ridge_regression(strength=0.5)
      >>> features, targets = jnp.array([[0.0], [1.0]]), jnp.array([3.0, 5.0])
      >>> state = head.fit(head.init(None), features, targets, jnp.ones(2))
      >>> print(head.apply(state, features))  # The slope is 1 / (0.5 + 0.5).
      [3.5 4.5]

    References:
      Bertinetto et al., `Meta-learning with differentiable closed-form solvers
      <https://arxiv.org/abs/1805.08136>`_, 2019.
    """
    check_positive("strength", strength)

    def fit(head_params, features, targets, weights):
        dtype = features.dtype
        features, targets = counted(features, weights), counted(targets, weights)
        share = weights.astype(dtype) / jnp.maximum(jnp.sum(weights), 1e-6)  # [U]
        targets = targets.astype(dtype)[:, None]  # [U, 1]
        center, level = share @ features, share @ targets  # [D], [1]
        kernel = linalg.ridge(
            features - center[None, :],
            targets - level[None, :],
            weights,
            jnp.exp(widen(head_params["log_strength"])),
        )
        return {"kernel": kernel, "bias": level - center @ kernel}

    return base.Head(
        lambda key: {"log_strength": log(strength)},
        fit,
        number_outputs,
        frozenset({"numbers"}),
        linear_template(num_features),
        is_linear=True,
    )
