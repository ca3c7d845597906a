"""Linear output layers with an additional class for "none of the classes"."""

from typing import Any

import jax.numpy as jnp

from metaflax import base
from metaflax.heads._linear import linear_outputs


def with_none(head: base.Head, *, logit: float = 0.0) -> base.Head:
    r"""Adds a class for "none of the classes" to a head.

    Its logit is one learned number :math:`\theta`, whatever the unit, so that a unit
    belongs to none of the classes where all of their logits stay below. For class
    means of features of unit length that is a threshold on squared distances: the
    logit of a class, :math:`2 \tau c \cdot f - \tau |c|^2`, is
    :math:`\tau (1 - |f - c|^2)`.

    Args:
      head: its state is a linear layer: `kernel` `[D, N]`, `bias` `[N]`, `mask` `[N]`.
      logit: initial value of :math:`\theta`, `head/none`.

    Returns:
      A `Head` whose N + 1 logits end with that of none.

    Raises:
      ValueError: from `fit`, if the head's state is no linear layer.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax.heads import with_none
      >>> from metaflax import heads
      >>> head = with_none(heads.prototypes(2), logit=0.5)
      >>> features = jnp.eye(2)
      >>> state = head.fit(head.init(None), features, jnp.array([0, 1]), jnp.ones(2))
      >>> print(head.apply(state, jnp.array([[1.0, 0.0], [0.0, 0.0]])).logits)
      [[ 1.  -1.   0.5]
       [-1.  -1.   0.5]]

    References:
      Gao et al., `FewRel 2.0: Towards More Challenging Few-Shot Relation Classification
      <https://arxiv.org/abs/1910.07124>`_, 2019, for the task; there a model of pairs
      scores none of the above.
    """

    def parts(head_params):
        inner = {name: leaf for name, leaf in head_params.items() if name != "none"}
        return inner, head_params["none"]

    def widened(state, none):
        if set(state) != {"kernel", "bias", "mask"}:
            raise ValueError(
                f"the answer none is a column of a linear layer, and this head has"
                f" {', '.join(sorted(state))}; take prototypes, ridge or linear."
            )
        kernel, bias = state["kernel"], state["bias"]
        return {
            "kernel": jnp.pad(kernel, ((0, 0), (0, 1))),  # [D, N + 1]
            "bias": jnp.append(bias, none.astype(bias.dtype)),
            "mask": jnp.append(state["mask"], True),
        }

    def fit(head_params, features, targets, weights):
        inner, none = parts(head_params)
        return widened(head.fit(inner, features, targets, weights), none)

    def template(head_params):
        inner, none = parts(head_params)
        assert head.template is not None  # Else this is not offered.
        return widened(head.template(inner), none)

    def init(key):
        inner: Any = head.init(key)
        return {**inner, "none": jnp.asarray(logit, float)}

    return base.Head(
        init,
        fit,
        linear_outputs,
        head.serves,
        None if head.template is None else template,
        is_linear=True,
        per_class=head.per_class,
    )
