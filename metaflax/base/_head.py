"""The protocol of output layers."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from metaflax.base._model import InitFn


class Head(NamedTuple):
    """A task's output layer: functions that fit it to a support set and apply it.

    U counts whatever is labelled (texts, tokens, pairs), so that a head for
    tagging is no special case.

    Attributes:
      init: `head_params = init(key)`, what the outer loop learns of the head.
      fit: `state = fit(head_params, features [U, D], targets, weights [U])`, the
        output layer a task begins with; float leaves may be adapted further.
      apply: `outputs = apply(state, features [U, D])`.
      serves: the kinds of targets that `fit` understands.
      template: `state = template(head_params)`, a tree with the shapes and types of
        what `fit` returns and arbitrary values, for inner optimizers that learn numbers
        for each adapted leaf. None if the shapes are unknown.
      is_linear: whether `state` is a linear layer, `kernel` `[D, N]` and `bias` `[N]`
        beside a `mask`, which other libraries can load.
      per_class: whether `head_params` hold numbers for each of N classes, so that the
        outer loop fixes N.
      takes_unlabelled: whether `fit` learns from units without a label, whose target is
        below 0 and whose weight is not 0. Evaluation passes the queries as such units.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax import base
      >>> mean = base.Head(
      ...     init=lambda key: {},
      ...     fit=lambda params, features, targets, weights: {
      ...         "mean": jnp.average(targets, weights=weights)
      ...     },
      ...     apply=lambda state, features: jnp.full(len(features), state["mean"]),
      ...     serves=frozenset({"numbers"}),
      ... )
      >>> targets, weights = jnp.array([1.0, 3.0, 9.0]), jnp.array([1, 1, 0])
      >>> state = mean.fit(mean.init(None), jnp.ones((3, 8)), targets, weights)
      >>> print(mean.apply(state, jnp.ones((2, 8))))
      [2. 2.]
    """

    init: InitFn
    fit: Callable[[Any, jax.Array, jax.Array, jax.Array], Any]
    apply: Callable[[Any, jax.Array], Any]
    serves: frozenset[str]
    template: Callable[[Any], Any] | None = None
    is_linear: bool = False
    per_class: bool = False
    takes_unlabelled: bool = False
