"""Ridge regression on one-hot targets as an output layer, in closed form."""

import jax.numpy as jnp

from metaflax import base, linalg
from metaflax.heads._linear import linear_outputs, linear_template
from metaflax.heads._membership import counted, membership
from metaflax.heads._scale import check_positive, log
from metaflax.linalg._types import widen


def ridge(
    num_classes: int,
    *,
    strength: float = 1.0,
    scale: float = 10.0,
    num_features: int | None = None,
) -> base.Head:
    r"""Linear output layer fitted by ridge regression on one-hot targets.

    .. math::

      W = \arg\min_W \sum_u w_u |f_u^\top W - y_u|^2 + \lambda |W|^2, \qquad
      \mathrm{logits}(f) = \alpha f^\top W + \beta,

    in closed form, by a system of at most U equations (`linalg.ridge`), through
    which the meta-gradient passes exactly. All three numbers are learned; none
    belongs to a class, so that names of classes mean nothing and way may vary.
    Under a softmax :math:`\beta` has no effect until inner steps make it a vector.

    Args:
      num_classes: N, the largest way.
      strength: initial value of :math:`\lambda`; its logarithm is `head/log_strength`.
      scale: initial value of :math:`\alpha`, `head/scale`, which maps outputs near 0
        and 1 to the range of logits. :math:`\beta`, `head/bias`, is initialised at 0.
      num_features: D, which only a `template` needs.

    Returns:
      A `Head` for one class a unit (`classes`), whose state is a linear layer.

    Raises:
      ValueError: if the strength is not above 0.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax.heads import ridge
      >>> head = ridge(2, scale=1.0)
      >>> features = jnp.eye(2)
      >>> state = head.fit(head.init(None), features, jnp.array([0, 1]), jnp.ones(2))
      >>> print(head.apply(state, features).logits.round(4))  # 1 / (1 + 1)
      [[0.5 0. ]
       [0.  0.5]]

    References:
      Bertinetto et al., `Meta-learning with differentiable closed-form solvers
      <https://arxiv.org/abs/1805.08136>`_, 2019, R2-D2.
    """
    check_positive("strength", strength)

    def init(key):
        del key  # Nothing is drawn.
        return {
            "log_strength": log(strength),
            "scale": jnp.asarray(scale, float),
            "bias": jnp.zeros(()),
        }

    def fit(head_params, features, targets, weights):
        features = counted(features, weights)
        dtype = features.dtype
        labels = membership(targets, jnp.ones_like(weights), num_classes)  # [U, N]
        strength = jnp.exp(widen(head_params["log_strength"]))
        kernel = linalg.ridge(features, labels, weights, strength)  # [D, N]
        present = jnp.any((labels > 0) & (weights > 0)[:, None], axis=0)
        bias = head_params["bias"].astype(dtype)
        return {
            "kernel": head_params["scale"].astype(dtype) * kernel,
            "bias": jnp.broadcast_to(bias, (num_classes,)),
            "mask": present,
        }

    return base.Head(
        init,
        fit,
        linear_outputs,
        frozenset({"classes"}),
        linear_template(num_features, num_classes),
        is_linear=True,
    )
