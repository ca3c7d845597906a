"""Optimizer in parts, some of which are frozen in each update."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from metaflax import tree


class PartsState(NamedTuple):
    """State of an optimizer in parts.

    Attributes:
      num_updates: number of updates, of any part.
      parts: the optimizer's state for each part, by name.
    """

    num_updates: jax.Array
    parts: dict[str, optax.OptState]


def in_parts(
    optimizer: optax.GradientTransformation,
    parts: Mapping[str, tree.Where],
    active: Sequence[str],
) -> optax.GradientTransformation:
    """Creates an optimizer with one state per part, of which only some are updated.

    Inactive parts are not changed at all: with zero gradients they would still move by
    momentum and weight decay, and their moments would decay towards 0. The optimizer's
    own counts, such as that of Adam's bias correction, count the updates of the part;
    schedules follow the number of all updates, so that a part that starts late starts
    with the current learning rate.

    Optimizers that differ only in `active` have interchangeable states.

    Args:
      optimizer: optimizer of each part.
      parts: paths of the parameters of each part; each parameter is in one part.
      active: names of the parts that are updated.

    Returns:
      An optax gradient transformation. Gradients and parameters of inactive parts may
      be None.

    Raises:
      ValueError: if an active part is not in `parts`.

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
        part_updates, part_states = [], {}
        for name in active:
            grads = tree.select(updates, parts[name])
            part = None if params is None else tree.select(params, parts[name])
            before = _on_schedule(state.parts[name], state.num_updates)
            update, part_states[name] = optimizer.update(grads, before, part)
            part_updates.append(update)
        return tree.merge(*part_updates), PartsState(
            state.num_updates + 1, state.parts | part_states
        )

    return optax.GradientTransformation(init, update)


def _on_schedule(state: Any, count: jax.Array) -> Any:
    """Sets the step count of all schedules in a state."""

    def is_schedule(x: Any) -> bool:
        return isinstance(x, optax.ScaleByScheduleState)

    return jax.tree.map(
        lambda x: x._replace(count=count) if is_schedule(x) else x,
        state,
        is_leaf=is_schedule,
    )
