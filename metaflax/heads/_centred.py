r"""Linear heads on features that are centred and scaled to unit length.

What all classes of a task have in common, such as its topic, is taken out of the
features: a support unit :math:`f_u` becomes :math:`(f_u - m) / |f_u - m|`, where m is
the mean of the class means. A query is divided by the root mean square of these lengths
instead of by its own, so that the head stays a linear layer in the features:

.. math:: \mathrm{logits}(f) = s (f - m)^\top W + b
          = f^\top (s W) + (b - s \, m^\top W).
"""

import jax.numpy as jnp

from metaflax import base, linalg
from metaflax.heads._logistic_regression import logistic_regression
from metaflax.heads._membership import class_mean, counted, membership
from metaflax.heads._prototypes import prototypes
from metaflax.linalg._types import widen


def centred_prototypes(
    num_classes: int, *, temperature: float = 1.0, num_features: int | None = None
) -> base.Head:
    r"""Class means of features that are centred and scaled to unit length.

    Args:
      num_classes: N, the largest way.
      temperature: as for `prototypes`.
      num_features: D, which only a `template` needs.

    Returns:
      A `Head` for one class a unit (`classes`), whose state is a linear layer.

    Raises:
      ValueError: if the temperature is not above 0.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax.heads import centred_prototypes
      >>> head = centred_prototypes(2)
      >>> features = jnp.array([[7.0, 1.0], [7.0, 3.0]])
      >>> state = head.fit(head.init(None), features, jnp.array([0, 1]), jnp.ones(2))
      >>> print(head.apply(state, jnp.array([[9.0, 3.0]])).logits)
      [[-3.  1.]]

    References:
      Wang et al., `SimpleShot: Revisiting Nearest-Neighbor Classification for Few-Shot
      Learning <https://arxiv.org/abs/1911.04623>`_, 2019. Departures: the centre is
      that of the support set, and queries are divided by a length that they share.
    """
    return _centred(
        prototypes(num_classes, temperature=temperature, num_features=num_features),
        num_classes,
    )


def centred_logistic_regression(
    num_classes: int, *, strength: float = 1.0, num_features: int | None = None
) -> base.Head:
    r"""Logistic regression on features that are centred and scaled to unit length.

    Unlike `logistic_regression` it has no need of an intercept, and the same strength
    suits features of any scale.

    Args:
      num_classes: N, the largest way.
      strength: as for `logistic_regression`.
      num_features: D, which only a `template` needs.

    Returns:
      A `Head` for one class a unit (`classes`), whose state is a linear layer.

    Raises:
      ValueError: if the strength is not above 0.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax.heads import centred_logistic_regression
      >>> head = centred_logistic_regression(2)
      >>> features = jnp.array([[7.0], [5.0]])
      >>> state = head.fit(head.init(None), features, jnp.array([0, 1]), jnp.ones(2))
      >>> print(head.apply(state, jnp.array([[7.0]])).logits.round(3))
      [[ 0.521 -0.521]]

    References:
      Wang et al., `SimpleShot: Revisiting Nearest-Neighbor Classification for Few-Shot
      Learning <https://arxiv.org/abs/1911.04623>`_, 2019, for the features; there with
      class means.
    """
    return _centred(
        logistic_regression(num_classes, strength=strength, num_features=num_features),
        num_classes,
    )


def _centred(head: base.Head, num_classes: int) -> base.Head:
    """Makes a linear head fit itself to centred features of unit length."""

    def fit(head_params, features, targets, weights):
        wide = widen(counted(features, weights))
        members = membership(targets, weights, num_classes).astype(wide.dtype)
        present = jnp.any(members > 0, axis=0)
        num_present = jnp.maximum(jnp.sum(present), 1).astype(wide.dtype)
        centre = jnp.sum(class_mean(wide, members), axis=0) / num_present  # [D]
        offsets = counted(wide - centre[None, :], weights)
        state = head.fit(
            head_params, linalg.unit(offsets).astype(features.dtype), targets, weights
        )
        total = jnp.sum(members)
        squares = jnp.sum(members.sum(axis=1) * jnp.sum(offsets**2, axis=1))
        mean_square = squares / jnp.where(total > 0, total, 1)
        scale = jnp.where(mean_square > 0, mean_square, 1) ** -0.5
        kernel = scale * widen(state["kernel"])
        bias = widen(state["bias"]) - jnp.matmul(centre, kernel, precision="highest")
        return {
            "kernel": kernel.astype(features.dtype),
            "bias": bias.astype(features.dtype),
            "mask": state["mask"],
        }

    return head._replace(fit=fit)
