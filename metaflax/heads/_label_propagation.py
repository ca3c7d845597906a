"""Class means with labels propagated over a graph of neighbours."""

import jax
import jax.numpy as jnp

from metaflax import base
from metaflax.heads._linear import linear_outputs, linear_template
from metaflax.heads._membership import class_mean, counted, membership
from metaflax.heads._prototypes import means_layer
from metaflax.heads._scale import check_positive, log
from metaflax.heads._soft_k_means import unlabelled
from metaflax.linalg._types import widen

# A unit farther than this from all others is joined to none: its root would have
# derivatives beyond single precision.
_LEAST_DEGREE = 1e-20


def label_propagation(
    num_classes: int,
    *,
    temperature: float = 1.0,
    alpha: float = 0.8,
    num_neighbours: int = 20,
    num_features: int | None = None,
) -> base.Head:
    r"""Class means of labelled and unlabelled units, whose labels a graph spreads.

    Units are joined by :math:`W_{uv} = \exp(-\tau |f_u - f_v|^2)` where one is among
    the nearest neighbours of the other. With D the row sums of W and Y the labels,
    where each class sums to 1, labels spread to

    .. math:: F = (I - \alpha D^{-1/2} W D^{-1/2})^{-1} Y,

    in closed form. An unlabelled unit counts in class means by its shares
    :math:`F_{un} / \sum_m F_{um}`, a labelled one for its class alone.
    Where the unlabelled units are the queries, predictions are transductive.

    Departures from the paper: :math:`\tau` is one number, which the outer loop learns,
    and not a network's output for each unit; and class means, a linear layer, classify
    any unit, and not only those of the graph.

    Args:
      num_classes: N, the largest way.
      temperature: initial value of :math:`\tau`, the factor of squared distances in the
        graph and to class means; its logarithm is `head/log_temperature`.
      alpha: how far labels spread, from 0 to below 1.
      num_neighbours: number of nearest neighbours of a unit.
      num_features: D, which only a `template` needs.

    Returns:
      A `Head` for one class a unit (`classes`) that `takes_unlabelled` units, whose
      state is a linear layer.

    Raises:
      ValueError: if the temperature is not above 0, `alpha` not from 0 to below 1, or
        `num_neighbours` not positive.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax.heads import label_propagation
      >>> head = label_propagation(2)
      >>> features = jnp.array([[0.0], [9.0], [1.0], [2.0], [3.0]])
      >>> targets = jnp.array([0, 1, -1, -1, -1])  # Three units have no label.
      >>> state = head.fit(head.init(None), features, targets, jnp.ones(5))
      >>> print((state["kernel"] / 2).round(2))  # The class means.
      [[1.5 9. ]]

    References:
      Liu et al., `Learning to Propagate Labels: Transductive Propagation Network for
      Few-shot Learning <https://arxiv.org/abs/1805.10002>`_, 2019; Zhou et al.,
      *Learning with Local and Global Consistency*, 2004, for the closed form.
    """
    check_positive("temperature", temperature)
    if not 0 <= alpha < 1:
        raise ValueError(f"alpha is from 0 to below 1, got {alpha}.")
    if num_neighbours < 1:
        raise ValueError(f"num_neighbours is 1 or more, got {num_neighbours}.")

    def fit(head_params, features, targets, weights):
        wide = widen(counted(features, weights))
        members = membership(targets, weights, num_classes).astype(wide.dtype)
        mask = jnp.any(members > 0, axis=0)
        free = unlabelled(members, weights).astype(wide.dtype)  # [U]
        scale = jnp.exp(widen(head_params["log_temperature"]))
        means = class_mean(wide, members)
        if wide.shape[0] != 0:
            graph = _graph(wide, weights > 0, scale, num_neighbours)
            spread = _spread(graph, members, alpha)  # [U, N]
            shares = free[:, None] * _shares(spread)
            means = class_mean(wide, members + shares)
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


def _graph(features, counts, scale, num_neighbours):
    """Computes :math:`D^{-1/2} W D^{-1/2}`, `[U, U]`; 0 for units that do not count."""
    num_units = features.shape[0]
    products = jnp.matmul(features, features.T, precision="highest")
    lengths = jnp.sum(features**2, axis=-1)
    squares = jnp.maximum(lengths[:, None] + lengths[None, :] - 2 * products, 0)
    joined = counts[:, None] & counts[None, :] & ~jnp.eye(num_units, dtype=bool)
    fixed = jax.lax.stop_gradient(jnp.where(joined, squares, jnp.inf))
    # As an array, since an exported head has any number of units.
    place = jnp.minimum(jnp.asarray(num_units) - 1, num_neighbours) - 1
    ordered = jnp.sort(fixed, axis=-1)
    farthest = jnp.take(ordered, jnp.maximum(place, 0), axis=-1)[:, None]  # [U, 1]
    near = joined & ((fixed <= farthest) | (fixed <= farthest.T))
    similar = jnp.where(near, jnp.exp(-scale * jnp.where(near, squares, 0)), 0)
    degrees = jnp.sum(similar, axis=-1)
    linked = degrees > _LEAST_DEGREE
    roots = jnp.where(linked, jnp.where(linked, degrees, 1) ** -0.5, 0)
    return roots[:, None] * similar * roots[None, :]


def _spread(graph, members, alpha):
    """Solves for F `[U, N]`, by a system that is positive definite."""
    counts = jnp.sum(members, axis=0)
    labels = members / jnp.where(counts > 0, counts, 1)[None, :]
    system = jnp.eye(graph.shape[0], dtype=graph.dtype) - alpha * graph
    return jax.scipy.linalg.solve(system, labels, assume_a="pos")


def _shares(spread):
    """Divides by the sum over classes; 0 for units that no label reaches."""
    spread = jnp.maximum(spread, 0)  # Rounding leaves less than 0 of what is 0.
    total = jnp.sum(spread, axis=-1, keepdims=True)
    return jnp.where(total > 0, spread / jnp.where(total > 0, total, 1), 0)
