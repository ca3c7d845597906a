"""Linear output layer initialised with zeros for each task."""

import jax.numpy as jnp

from metaflax import base
from metaflax.heads._linear import linear_outputs, linear_template
from metaflax.heads._membership import membership


def zeros(num_features: int, num_classes: int) -> base.Head:
    r"""Linear output layer initialised at :math:`W = 0, b = 0` for each task.

    Nothing of it is meta-learned, so that names of classes mean nothing and way may
    vary; it is learned by inner steps alone. The first of them moves the column of a
    class by a multiple of its mean feature less the mean over units of :math:`p_n(x)
    f(x)`, with all present classes alike in :math:`p`.

    Args:
      num_features: D.
      num_classes: N, the largest way.

    Returns:
      A `Head` for one class (`classes`) or several labels (`labels`) a unit.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax.heads import zeros
      >>> head = zeros(1, 2)
      >>> features = jnp.array([[3.0]])
      >>> state = head.fit({}, features, jnp.array([1]), jnp.ones(1))
      >>> print(state["kernel"], state["mask"])
      [[0. 0.]] [False  True]

    References:
      Kao et al., `MAML is a Noisy Contrastive Learner in Classification
      <https://arxiv.org/abs/2106.15367>`_, 2022, the zeroing trick; Ye and Chao,
      `How to Train Your MAML to Excel in Few-Shot Classification
      <https://arxiv.org/abs/2106.16245>`_, 2022.
    """

    def fit(head_params, features, targets, weights):
        del head_params
        members = membership(targets, weights, num_classes)
        return {
            "kernel": jnp.zeros((num_features, num_classes), features.dtype),
            "bias": jnp.zeros(num_classes, features.dtype),
            "mask": jnp.any(members > 0, axis=0),
        }

    return base.Head(
        lambda key: {},
        fit,
        linear_outputs,
        frozenset({"classes", "labels"}),
        linear_template(num_features, num_classes),
        is_linear=True,
    )
