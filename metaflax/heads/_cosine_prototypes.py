"""Class means with cosine similarity as output layers."""

import jax.numpy as jnp

from metaflax import base
from metaflax.heads._linear import linear_template
from metaflax.heads._membership import class_mean, counted, membership
from metaflax.heads._scale import check_positive, log
from metaflax.linalg import unit


def cosine_prototypes(
    num_classes: int, *, temperature: float = 10.0, num_features: int | None = None
) -> base.Head:
    r"""Classifies by cosine similarity to the mean direction of each class.

    With :math:`\hat f = f / |f|` and :math:`c_n` the mean of :math:`\hat f` over the
    members of class n, logits are

    .. math:: \tau \cos(f, c_n) = \tau \hat f \cdot \hat c_n.

    The state's kernel is :math:`\tau \hat c_n`, which inner steps may adapt. A
    feature of length 0 has cosine 0 with everything.

    Args:
      num_classes: N, the largest way.
      temperature: initial value of :math:`\tau`; its logarithm is
        `head/log_temperature`, for the outer loop to learn.
      num_features: D, which only a `template` needs.

    Returns:
      A `Head` for one class a unit (`classes`).

    Raises:
      ValueError: if the temperature is not above 0.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax.heads import cosine_prototypes
      >>> head = cosine_prototypes(2)
      >>> features = jnp.array([[3.0, 0.0], [0.0, 2.0]])
      >>> state = head.fit(head.init(None), features, jnp.array([0, 1]), jnp.ones(2))
      >>> print(head.apply(state, jnp.array([[4.0, 3.0]])).logits.round(4))
      [[8. 6.]]

    References:
      Gidaris and Komodakis, `Dynamic Few-Shot Visual Learning without Forgetting
      <https://arxiv.org/abs/1804.09458>`_, 2018; Chen et al., `Meta-Baseline:
      Exploring Simple Meta-Learning for Few-Shot Learning
      <https://arxiv.org/abs/2003.04390>`_, 2021.
    """
    check_positive("temperature", temperature)

    def fit(head_params, features, targets, weights):
        features = counted(features, weights)
        members = membership(targets, weights, num_classes)
        directions = unit(features)
        means = unit(class_mean(directions, members))  # [N, D]
        scale = jnp.exp(head_params["log_temperature"].astype(means.dtype))
        return {
            "kernel": (scale * means.T).astype(features.dtype),
            "mask": jnp.any(members > 0, axis=0),
        }

    def apply(state, features):
        logits = unit(features) @ state["kernel"]  # [U, N]
        return base.masked_outputs(logits.astype(features.dtype), state["mask"])

    linear = linear_template(num_features, num_classes)

    def template(head_params):
        assert linear is not None
        layer = linear(head_params)
        return {"kernel": layer["kernel"], "mask": layer["mask"]}

    return base.Head(
        lambda key: {"log_temperature": log(temperature)},
        fit,
        apply,
        frozenset({"classes"}),
        template if linear else None,
    )
