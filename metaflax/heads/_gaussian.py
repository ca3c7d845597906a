r"""Gaussian classes with one shrunken covariance as an output layer."""

import jax.numpy as jnp

from metaflax import base, linalg
from metaflax.heads._linear import linear_outputs, linear_template
from metaflax.heads._membership import class_mean, counted, membership
from metaflax.heads._scale import check_positive, log
from metaflax.linalg._types import widen

# Share of the features' mean square that counts as rounding.
_FLOOR = 1e-6


def gaussian(
    num_classes: int,
    *,
    temperature: float = 1.0,
    strength: float = 1.0,
    num_features: int | None = None,
) -> base.Head:
    r"""Classifies by distance to class means in the metric of the scatter in classes.

    With S the covariance of units around the mean of their class, and :math:`t` the
    mean of its diagonal,

    .. math::

      \mathrm{logit}_n(f) = -\tau (f - c_n)^\top M (f - c_n) + \tau f^\top M f, \qquad
      M = \left(I + \frac{S}{\lambda t}\right)^{-1},

    which is linear in f: a discriminant analysis whose covariance is shrunk towards
    :math:`t I` by :math:`\lambda / (1 + \lambda)`. As :math:`\lambda` grows, and where
    each class has one unit, it is `prototypes`.

    Args:
      num_classes: N, the largest way.
      temperature: initial value of :math:`\tau`; its logarithm is
        `head/log_temperature`, for the outer loop to learn.
      strength: initial value of :math:`\lambda`; its logarithm is `head/log_strength`.
      num_features: D, which only a `template` needs.

    Returns:
      A `Head` for one class a unit (`classes`), whose state is a linear layer.

    Raises:
      ValueError: if temperature or strength are not above 0.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax.heads import gaussian
      >>> head = gaussian(2)
      >>> features = jnp.array([[1.0, 3.0], [1.0, -3.0], [-1.0, 0.0]])
      >>> targets = jnp.array([0, 0, 1])
      >>> state = head.fit(head.init(None), features, targets, jnp.ones(3))
      >>> print(state["kernel"].round(3))  # Nothing varies along the first feature.
      [[ 2. -2.]
       [ 0.  0.]]

    References:
      Friedman, `Regularized Discriminant Analysis
      <https://doi.org/10.1080/01621459.1989.10478752>`_, 1989; Ledoit and Wolf, `A
      Well-Conditioned Estimator for Large-Dimensional Covariance Matrices
      <https://doi.org/10.1016/S0047-259X(03)00096-4>`_, 2004.
    """
    check_positive("temperature", temperature)
    check_positive("strength", strength)

    def fit(head_params, features, targets, weights):
        wide = widen(counted(features, weights))
        members = membership(targets, weights, num_classes).astype(wide.dtype)
        means = class_mean(wide, members)  # [N, D]
        strength = jnp.exp(widen(head_params["log_strength"]))
        metric_means = _in_metric(wide, members, means, strength)  # [N, D]
        scale = jnp.exp(widen(head_params["log_temperature"]))
        return {
            "kernel": (2 * scale * metric_means.T).astype(features.dtype),
            "bias": (-scale * jnp.sum(means * metric_means, axis=-1)).astype(
                features.dtype
            ),
            "mask": jnp.any(members > 0, axis=0),
        }

    return base.Head(
        lambda key: {
            "log_temperature": log(temperature),
            "log_strength": log(strength),
        },
        fit,
        linear_outputs,
        frozenset({"classes"}),
        linear_template(num_features, num_classes),
        is_linear=True,
    )


def _in_metric(features, members, means, strength):
    r"""Returns :math:`M c_n` of each class, `[N, D]`.

    With X the offsets from class means, :math:`S = X^\top \Omega X` and
    :math:`\mu = \lambda t`, it is
    :math:`c - (X^\top \Omega X + \mu I)^{-1} X^\top \Omega (X c)`, a ridge regression
    on the products of offsets and means.
    """
    counts = jnp.sum(members, axis=1)  # [U]
    total = jnp.sum(counts)
    shares = counts / jnp.where(total > 0, total, 1)
    held = (counts > 0)[:, None]
    example_means = jnp.matmul(
        (members > 0).astype(means.dtype), means, precision="highest"
    )
    offsets = jnp.where(held, features - example_means, 0)
    square = jnp.mean(shares @ offsets**2)
    floor = _FLOOR * jnp.mean(shares @ features**2)
    shift = strength * (square + floor)
    products = jnp.matmul(offsets, means.T, precision="highest")  # [U, N]
    return (
        means
        - linalg.ridge(offsets, products, shares, jnp.where(shift > 0, shift, 1)).T
    )
