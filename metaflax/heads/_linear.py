"""Linear output layer with a learned initialisation."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from metaflax import base
from metaflax.heads._membership import membership


def linear_outputs(state, features):
    """Computes `features @ kernel + bias`, with the logits of absent classes masked."""
    logits = features @ state["kernel"] + state["bias"][None, :]  # [U, N]
    return base.masked_outputs(logits, state["mask"])


def linear_template(
    num_features: int | None, num_classes: int
) -> Callable[[Any], Any] | None:
    """Returns a template of the linear layer; None if `num_features` is unknown."""
    if num_features is None:
        return None

    def template(head_params):
        leaves = jax.tree.leaves(head_params)
        dtype = leaves[0].dtype if leaves else jnp.result_type(float)
        return {
            "kernel": jnp.zeros((num_features, num_classes), dtype),
            "bias": jnp.zeros(num_classes, dtype),
            "mask": jnp.zeros(num_classes, bool),
        }

    return template


def linear(
    num_features: int,
    num_classes: int,
    *,
    kernel_init: jax.nn.initializers.Initializer | None = None,
) -> base.Head:
    """Linear output layer whose initialisation the outer loop learns.

    Args:
      num_features: D.
      num_classes: N, the largest way; classes that a task lacks are masked.
      kernel_init: draws the kernel; by default normal with deviation 0.02, as BERT
        does. `jax.nn.initializers.zeros` makes all classes begin alike.

    Returns:
      A `Head` for one class (`classes`) or several labels (`labels`) a unit.

    Examples:
      >>> import jax
      >>> from metaflax.heads import linear
      >>> params = linear(4, 3).init(jax.random.key(0))
      >>> print(params["kernel"].shape, params["bias"].shape)
      (4, 3) (3,)

    References:
      Finn et al., `Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks
      <https://arxiv.org/abs/1703.03400>`_, 2017, where the output layer is one of those
      whose start is learned.
    """
    kernel_init = kernel_init or jax.nn.initializers.normal(0.02)

    def init(key):
        kernel = kernel_init(key, (num_features, num_classes), float)
        return {"kernel": kernel, "bias": jnp.zeros(num_classes)}

    def fit(head_params, features, targets, weights):
        del features  # The start does not depend on them; the mask does on targets.
        members = membership(targets, weights, num_classes)
        return {**head_params, "mask": jnp.any(members > 0, axis=0)}

    return base.Head(
        init,
        fit,
        linear_outputs,
        frozenset({"classes", "labels"}),
        linear_template(num_features, num_classes),
        is_linear=True,
        per_class=True,
    )
