r"""Class means refined by units without labels.

A support unit of no class (a target below 0) and a weight above 0 is unlabelled.
"""

import jax
import jax.numpy as jnp

from metaflax import base
from metaflax.heads._linear import linear_outputs, linear_template
from metaflax.heads._membership import class_mean, counted, membership
from metaflax.heads._prototypes import means_layer
from metaflax.heads._scale import check_positive, log
from metaflax.linalg._types import widen


def soft_k_means(
    num_classes: int,
    *,
    temperature: float = 1.0,
    num_steps: int = 1,
    num_features: int | None = None,
) -> base.Head:
    r"""Class means, refined by unlabelled units of the support set.

    From the means :math:`c_n` of the labelled units each step gives an unlabelled unit
    shares of the classes, with which it counts in new means:

    .. math::

      z_{un} = \frac{\exp(-\tau |f_u - c_n|^2)}{\sum_m \exp(-\tau |f_u - c_m|^2)},
      \qquad
      c_n \leftarrow \frac{\sum_u w_u z_{un} f_u}{\sum_u w_u z_{un}},

    where z of a labelled unit is 1 for its class and 0 for all others. Without
    unlabelled units it is `prototypes`. Where they are the queries, predictions are
    transductive: each depends on all queries.

    Args:
      num_classes: N, the largest way.
      temperature: initial value of :math:`\tau`; its logarithm is
        `head/log_temperature`, for the outer loop to learn.
      num_steps: number of steps; the paper takes one.
      num_features: D, which only a `template` needs.

    Returns:
      A `Head` for one class a unit (`classes`) that `takes_unlabelled` units, whose
      state is a linear layer.

    Raises:
      ValueError: if the temperature is not above 0 or `num_steps` not positive.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax.heads import soft_k_means
      >>> head = soft_k_means(2, temperature=10.0)
      >>> features = jnp.array([[0.0], [2.0], [3.0], [4.0]])
      >>> targets = jnp.array([0, 1, -1, -1])  # Two units have no label.
      >>> state = head.fit(head.init(None), features, targets, jnp.ones(4))
      >>> print((state["kernel"] / 20).round(2))  # The means 0 and (2 + 3 + 4) / 3.
      [[0. 3.]]

    References:
      Ren et al., `Meta-Learning for Semi-Supervised Few-Shot Classification
      <https://arxiv.org/abs/1803.00676>`_, 2018, section 3.1.1.
    """
    check_positive("temperature", temperature)
    if num_steps < 1:
        raise ValueError(f"num_steps is 1 or more, got {num_steps}.")

    def fit(head_params, features, targets, weights):
        wide = widen(counted(features, weights))
        members = membership(targets, weights, num_classes).astype(wide.dtype)
        mask = jnp.any(members > 0, axis=0)
        free = unlabelled(members, weights).astype(wide.dtype)  # [U]
        scale = jnp.exp(widen(head_params["log_temperature"]))
        means = class_mean(wide, members)  # [N, D]
        for _ in range(num_steps):
            logits = 2 * wide @ means.T - jnp.sum(means**2, axis=-1)[None, :]
            logits = base.masked_outputs(scale * logits, mask).logits
            # Without classes shares are even, and no mean is of anything.
            shares = jax.nn.softmax(logits) * mask[None, :]
            means = class_mean(wide, members + free[:, None] * shares)
        return means_layer(means, scale, mask, features.dtype)

    return base.Head(
        lambda key: {"log_temperature": log(temperature)},
        fit,
        linear_outputs,
        frozenset({"classes"}),
        linear_template(num_features, num_classes),
        is_linear=True,
        takes_unlabelled=True,
    )


def unlabelled(members: jax.Array, weights: jax.Array) -> jax.Array:
    """Returns the weights `[U]` of units without a class; 0 for all others."""
    return jnp.where(jnp.any(members > 0, axis=-1), 0, weights)
