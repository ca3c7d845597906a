r"""Class means as output layers.

The softmax over squared distances to class means :math:`c_n` is linear in the
features, since :math:`|f|^2` is the same for every class:

.. math:: -\tau |f - c_n|^2 + \tau |f|^2 = 2 \tau c_n \cdot f - \tau |c_n|^2.

So prototypes are a linear layer that inner steps may adapt further (Proto-MAML) and
that any library can load.
"""

import jax
import jax.numpy as jnp

from metaflax import base
from metaflax.heads._linear import linear_outputs, linear_template
from metaflax.heads._membership import class_mean, counted, membership
from metaflax.heads._scale import check_positive, log


def prototypes(
    num_classes: int, *, temperature: float = 1.0, num_features: int | None = None
) -> base.Head:
    r"""Classifies by squared distance to the mean of each class.

    Args:
      num_classes: N, the largest way.
      temperature: initial value of :math:`\tau`, the factor of squared distances; its
        logarithm is `head/log_temperature`, which the outer loop learns.
      num_features: D, which only a `template` needs.

    Returns:
      A `Head` for one class a unit (`classes`).

    Raises:
      ValueError: if the temperature is not above 0.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax.heads import prototypes
      >>> head = prototypes(2)
      >>> features = jnp.array([[0.0], [2.0]])
      >>> state = head.fit(head.init(None), features, jnp.array([0, 1]), jnp.ones(2))
      >>> print(head.apply(state, jnp.array([[1.5]])).logits)
      [[0. 2.]]

    References:
      Snell et al., `Prototypical Networks for Few-shot Learning
      <https://arxiv.org/abs/1703.05175>`_, 2017, section 2.3.
    """
    check_positive("temperature", temperature)

    def fit(head_params, features, targets, weights):
        features = counted(features, weights)
        members = membership(targets, weights, num_classes)
        means = class_mean(features, members)  # [N, D]
        scale = jnp.exp(head_params["log_temperature"]).astype(features.dtype)
        mask = jnp.any(members > 0, axis=0)
        return means_layer(means, scale, mask, features.dtype)

    return base.Head(
        lambda key: {"log_temperature": log(temperature)},
        fit,
        linear_outputs,
        frozenset({"classes"}),
        linear_template(num_features, num_classes),
        is_linear=True,
    )


def means_layer(means: jax.Array, scale: jax.Array, mask: jax.Array, dtype) -> dict:
    """Returns squared distances to class means `[N, D]` as a linear layer."""
    return {
        "kernel": (2 * scale * means.T).astype(dtype),
        "bias": (-scale * jnp.sum(means**2, axis=-1)).astype(dtype),
        "mask": mask,
    }


def label_prototypes(
    num_classes: int, *, temperature: float = 1.0, num_features: int | None = None
) -> base.Head:
    r"""Multilabel prototypes: two means per label, of its positive and negative units.

    A label's logit is how much nearer the first is than the second, so that each
    label is a two-way prototypical network, and again linear in the features.

    Args:
      num_classes: N, the largest number of labels.
      temperature: as for `prototypes`.
      num_features: D, which only a `template` needs.

    Returns:
      A `Head` for several labels a unit (`labels`).

    Raises:
      ValueError: if the temperature is not above 0.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax.heads import label_prototypes
      >>> head = label_prototypes(1)
      >>> features, targets = jnp.array([[0.0], [2.0]]), jnp.array([[0], [1]])
      >>> state = head.fit(head.init(None), features, targets, jnp.ones(2))
      >>> print(head.apply(state, jnp.array([[1.5]])).logits)
      [[2.]]

    References:
      Snell et al., `Prototypical Networks for Few-shot Learning
      <https://arxiv.org/abs/1703.05175>`_, 2017, of two classes for each label.
    """
    check_positive("temperature", temperature)

    def fit(head_params, features, targets, weights):
        features = counted(features, weights)
        members = membership(targets, weights, num_classes)
        others = weights[:, None] - members
        has, lacks = class_mean(features, members), class_mean(features, others)
        scale = jnp.exp(head_params["log_temperature"]).astype(features.dtype)
        return {
            "kernel": 2 * scale * (has - lacks).T,
            "bias": scale * (jnp.sum(lacks**2, axis=-1) - jnp.sum(has**2, axis=-1)),
            "mask": jnp.any(members > 0, axis=0),
        }

    return base.Head(
        lambda key: {"log_temperature": log(temperature)},
        fit,
        linear_outputs,
        frozenset({"labels"}),
        linear_template(num_features, num_classes),
        is_linear=True,
    )
