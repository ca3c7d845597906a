"""Token-level losses and metrics."""

from collections.abc import Callable
from typing import Any

import chex

from metaflax import _checks, base
from metaflax.base._units import token_units


def per_token(loss_fn: base.LossFn) -> Callable[..., Any]:
    """Turns a loss or a metric of units into one over all tokens of all texts.

    Args:
      loss_fn: function of logits `[U, N]`, class numbers `[U]` and weights `[U]`.

    Returns:
      The same function of logits `[S, L, N]`, targets `[S, L]`, -1 where a token is no
      unit, and weights of texts `[S]`: a mean over tokens, so that long texts count
      more.

    Raises:
      AssertionError: when called, if targets or weights have other axes.

    Examples:
      >>> from metaflax import base
      >>> from metaflax.losses import per_token
      >>> import jax.numpy as jnp
      >>> from metaflax import losses
      >>> outputs = base.ClassOutputs(jnp.zeros((1, 3, 4)), jnp.ones(4, bool))
      >>> loss = per_token(losses.softmax_cross_entropy)
      >>> print(f"{loss(outputs, jnp.array([[2, 0, -1]]), jnp.ones(1)):.4f}")  # log(4)
      1.3863
    """

    def of_tokens(outputs: base.ClassOutputs, targets, weights) -> Any:
        _checks.check_class_outputs(outputs)
        chex.assert_equal_shape_prefix(
            [outputs.logits, targets],
            2,
            custom_message="logits are [S, L, N], targets [S, L]",
        )
        chex.assert_rank(outputs.logits, 3, custom_message="logits are [S, L, N]")
        logits = outputs.logits.reshape(-1, outputs.logits.shape[-1])  # [S * L, N]
        units = token_units(targets, weights)
        return loss_fn(outputs._replace(logits=logits), *units)

    return of_tokens
