"""Identity head of models that contain their output layer."""

from metaflax import base


def identity() -> base.Head:
    """Head that returns the outputs of the model unchanged.

    A language model ends in its own output layer, whose meaning is the same in every
    task. Below this head it is an "encoder" whose features are logits, and its output
    layer adapts, or not, as any other of its layers.

    Returns:
      A `Head` for `texts`, without parameters or state.

    Examples:
      >>> from metaflax.heads import identity
      >>> import jax.numpy as jnp
      >>> head = identity()
      >>> state = head.fit(head.init(None), None, None, None)
      >>> print(state, head.apply(state, jnp.ones((1, 2, 3))).shape)
      {} (1, 2, 3)

    References:
      No paper: it computes nothing.
    """
    return base.Head(
        init=lambda key: {},
        fit=lambda head_params, features, targets, weights: {},
        apply=lambda state, features: features,
        serves=frozenset({"texts"}),
        template=lambda head_params: {},
    )
