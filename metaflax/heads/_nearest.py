"""Nearest-neighbour classification as an output layer."""

import jax
import jax.numpy as jnp

from metaflax import base
from metaflax.heads._membership import counted, membership
from metaflax.heads._scale import check_positive, log
from metaflax.linalg._types import widen


def nearest(num_classes: int, *, temperature: float = 1.0) -> base.Head:
    r"""Classifies by the nearest neighbour in the support set.

    .. math:: \mathrm{logit}_n(f) = -\tau \min_{i: y_i = n} |f - f_i|^2

    Unlike a mean, the nearest unit represents a class of units that have little in
    common, such as tokens outside of any entity. The gradient reaches no unit but the
    nearest of each class, of equally near ones the first.

    Args:
      num_classes: N, the largest way.
      temperature: initial value of :math:`\tau`; its logarithm is
        `head/log_temperature`, for the outer loop to learn. The paper's is 1.

    Returns:
      A `Head` for one class a unit (`classes`). Its state holds the support set, in
      which the features and the scale :math:`\tau` may adapt; it has no `template`.

    Raises:
      ValueError: if the temperature is not above 0; from `fit`, if there is no
        support example.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax.heads import nearest
      >>> head = nearest(2)
      >>> features, targets = jnp.array([[0.0], [5.0], [2.0]]), jnp.array([0, 0, 1])
      >>> state = head.fit(head.init(None), features, targets, jnp.ones(3))
      >>> print(head.apply(state, jnp.array([[4.0]])).logits)
      [[-1. -4.]]

    References:
      Yang and Katiyar, `Simple and Effective Few-Shot Named Entity Recognition with
      Structured Nearest Neighbor Learning <https://arxiv.org/abs/2010.02405>`_, 2020,
      where it is NNShot.
    """
    check_positive("temperature", temperature)

    def fit(head_params, features, targets, weights):
        if features.shape[0] == 0:
            raise ValueError(
                "nearest classifies by the nearest of S support examples and got S=0;"
                " give one or more, of weight 0 if they are padding."
            )
        features = counted(features, weights)
        members = membership(targets, weights, num_classes) > 0  # [S, N]
        scale = jnp.exp(head_params["log_temperature"])
        return {
            "features": features,
            # Padding is of no class, so that it is never the nearest of one.
            "classes": jnp.where(
                members.any(axis=-1), jnp.argmax(members, axis=-1), -1
            ),
            "scale": scale.astype(features.dtype),
            "mask": jnp.any(members, axis=0),
        }

    return base.Head(
        lambda key: {"log_temperature": log(temperature)},
        fit,
        _nearest_outputs,
        frozenset({"classes"}),
    )


def _nearest_outputs(state, features):
    """Computes logits from squared distances to the nearest support unit per class."""
    classes, mask = state["classes"], state["mask"]
    squares = _squared_distances(widen(features), widen(state["features"]))  # [U, S]
    # The nearest unit of each class is searched without derivative and its distance
    # then gathered, class by class, so that no array of [U, S, N] is stored.
    fixed = jax.lax.stop_gradient(squares)
    units = [
        jnp.argmin(jnp.where((classes == n)[None, :], fixed, jnp.inf), axis=-1)
        for n in range(len(mask))
    ]
    least = jnp.take_along_axis(squares, jnp.stack(units, axis=-1), axis=-1)  # [U, N]
    logits = -state["scale"].astype(least.dtype) * least
    return base.masked_outputs(logits.astype(features.dtype), mask)


def _squared_distances(first: jax.Array, second: jax.Array) -> jax.Array:
    """Computes squared distances `[U, S]` of `[U, D]` and `[S, D]` by a matrix product.

    Rounding may leave less than 0 of what is 0; as a logit that does no harm.
    """
    # Large numbers cancel here, so that no product may be rounded to fewer digits.
    products = jnp.matmul(first, second.T, precision=jax.lax.Precision.HIGHEST)
    lengths = jnp.sum(first**2, -1)[:, None] + jnp.sum(second**2, -1)[None, :]
    return lengths - 2 * products
