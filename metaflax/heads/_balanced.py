"""Heads whose fit gives every class equal weight."""

import jax
import jax.numpy as jnp

from metaflax import base
from metaflax.heads._membership import membership


def balanced(head: base.Head, num_classes: int) -> base.Head:
    r"""Weights the support units of a head so that each class counts alike.

    A unit of class n, of which the support set has :math:`U_n`, counts

    .. math:: w_u \, \frac{U}{N_\mathrm{present} \, U_n}

    times, with sums of weights for numbers of units. It is scikit-learn's
    `class_weight="balanced"`, and changes nothing if all classes have equally many
    units. Without it a regression prefers classes with many units, which are frequent
    in the support set and seldom so among the queries.

    Args:
      head: a head for one class a unit.
      num_classes: N, the largest way.

    Returns:
      The head with a `fit` of other weights.

    Raises:
      ValueError: if the head does not serve classes.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax import heads
      >>> features = jnp.array([[1.0], [1.0], [1.0], [-1.0]])
      >>> targets = jnp.array([0, 0, 0, 1])
      >>> plain = heads.ridge(2)
      >>> for head in (plain, heads.balanced(plain, 2)):
      ...     state = head.fit(head.init(None), features, targets, jnp.ones(4))
      ...     print(head.apply(state, jnp.array([[1.0]])).logits.round(2))
      [[ 6. -2.]]
      [[ 4. -4.]]

    References:
      King and Zeng, `Logistic Regression in Rare Events Data
      <https://doi.org/10.1093/oxfordjournals.pan.a004868>`_, 2001, weighting.
    """
    if "classes" not in head.serves:
        raise ValueError(
            f"balanced takes a head for one class a unit, and this one serves"
            f" {', '.join(sorted(head.serves))}; take another head."
        )

    def fit(head_params, features, targets, weights):
        weights = weights * class_balance(targets, weights, num_classes)
        return head.fit(head_params, features, targets, weights)

    return head._replace(fit=fit, serves=frozenset({"classes"}))


def class_balance(
    targets: jax.Array, weights: jax.Array, num_classes: int
) -> jax.Array:
    """Computes the factor of each unit's weight `[U]`; 0 for units of no class."""
    members = membership(targets, weights, num_classes)  # [U, N]
    counts = jnp.sum(members, axis=0)
    present = jnp.sum(counts > 0).astype(counts.dtype)
    safe = jnp.where(counts > 0, counts, 1)
    factors = jnp.sum(counts) / (jnp.maximum(present, 1) * safe)  # [N]
    return jnp.sum(jnp.where(members > 0, factors[None, :], 0), axis=-1)
