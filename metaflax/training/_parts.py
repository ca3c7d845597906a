"""An optimizer whose parts rest while they are not trained."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from metaflax import tree


class PartsState(NamedTuple):
    """The state of an optimizer in parts.

    Attributes:
      num_updates: updates so far, whichever parts they were of.
      parts: the optimizer's state for each part, by name.
    """

    num_updates: jax.Array
    parts: dict[str, optax.OptState]


def in_parts(
    optimizer: optax.GradientTransformation,
    parts: Mapping[str, tree.Where],
    active: Sequence[str],
) -> optax.GradientTransformation:
    """The optimizer with a state for each part, of which some are updated.

    A part that an update leaves out stays as it is, to the last bit: with zeros for
    gradients it would still move by momentum and decay, and its moments would fade
    towards 0 for want of anything to average. What an optimizer counts for itself,
    such as Adam for its correction of young moments, it counts in the updates that the
    part took; schedules go by all updates, so that a part that starts late starts at
    the rate of the others.

    Optimizers that differ in `active` alone share one state.

    Args:
      optimizer: of each part.
      parts: which parameters they are, as paths; each parameter is of one part.
      active: names of the parts that an update changes.

    Returns:
      An optax gradient transformation. Gradients and parameters of other parts than
      the active ones may be None.

    Raises:
      ValueError: if a part that is to be active is none of them.

    Examples:
      >>> parts = {"a": "a", "b": "b"}
      >>> first = in_parts(optax.sgd(0.5), parts, ["a"])
      >>> params = {"a": jnp.array(1.0), "b": jnp.array(1.0)}
      >>> state = first.init(params)
      >>> grads = {"a": jnp.array(2.0), "b": None}
      >>> updates, state = first.update(grads, state, params)
      >>> print(updates["a"], updates["b"])
      -1.0 None
    """
    if unknown := [name for name in active if name not in parts]:
        raise ValueError(
            f"there is no part {unknown[0]!r} to be active; they are"
            f" {', '.join(parts)}."
        )

    def init(params):
        of_parts = {
            name: optimizer.init(tree.select(params, where))
            for name, where in parts.items()
        }
        return PartsState(jnp.zeros((), jnp.int32), of_parts)

    def update(updates, state, params=None):
        made, changed = [], {}
        for name in active:
            grads = tree.select(updates, parts[name])
            own = None if params is None else tree.select(params, parts[name])
            before = _on_schedule(state.parts[name], state.num_updates)
            update, changed[name] = optimizer.update(grads, before, own)
            made.append(update)
        return tree.merge(*made), PartsState(
            state.num_updates + 1, state.parts | changed
        )

    return optax.GradientTransformation(init, update)


def _on_schedule(state: Any, count: jax.Array) -> Any:
    """The state with all its schedules at so many updates."""

    def is_schedule(x: Any) -> bool:
        return isinstance(x, optax.ScaleByScheduleState)

    return jax.tree.map(
        lambda x: x._replace(count=count) if is_schedule(x) else x,
        state,
        is_leaf=is_schedule,
    )
