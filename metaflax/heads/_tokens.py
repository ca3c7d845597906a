"""Output layers for token classification."""

import jax

from metaflax import base
from metaflax.base._units import token_units


def per_token(head: base.Head) -> base.Head:
    """Applies a head to each token of each text.

    Args:
      head: for one class a unit.

    Returns:
      The same `Head` on features `[S, L, D]`, targets `[S, L]`, -1 where a token is no
      unit, and weights of texts `[S]`. Its logits are `[S, L, N]`, arbitrary at tokens
      that are no unit.

    Raises:
      AssertionError: from `fit`, if targets or weights have other axes.

    Examples:
      >>> from metaflax.heads import per_token
      >>> import jax.numpy as jnp
      >>> from metaflax import heads
      >>> head = per_token(heads.prototypes(2))
      >>> features = jnp.array([[[0.0], [2.0], [9.0]]])  # [S, L, D]
      >>> targets, weights = jnp.array([[0, 1, -1]]), jnp.ones(1)
      >>> state = head.fit(head.init(None), features, targets, weights)
      >>> print(head.apply(state, jnp.array([[[0.0], [1.5]]])).logits)
      [[[ 0. -4.]
        [ 0.  2.]]]

    References:
      No paper: the head that it applies has its own.
    """

    def flat(features: jax.Array) -> jax.Array:
        return features.reshape(-1, features.shape[-1])  # [S * L, D]

    def fit(head_params, features, targets, weights):
        units = token_units(targets, weights)
        return head.fit(head_params, flat(features), *units)

    def apply(state, features):
        outputs = head.apply(state, flat(features))
        logits = outputs.logits.reshape(*features.shape[:-1], -1)  # [S, L, N]
        return outputs._replace(logits=logits)

    return head._replace(fit=fit, apply=apply)
