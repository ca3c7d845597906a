"""Where arrays lie when several devices train together.

A mesh has two axes. The tasks of a step are spread over all of its devices; parameters
and optimizer state are spread over the axis `param` and alike along the axis `task`, so
that with `param` of 1 every device holds all of them, and with more of them (fully
sharded data parallelism, Rajbhandari et al., arXiv 1910.02054) a part of each.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

TASK, PARAM = "task", "param"
# Smaller arrays are on every device: to fetch them would take longer than to read them.
_LEAST = 2**10


def make_mesh(param_shards: int = 1, devices: Sequence[Any] | None = None) -> Mesh:
    """The devices that train together.

    Args:
      param_shards: how many devices share one copy of the parameters.
      devices: by default all, those of other processes too.

    Returns:
      A mesh of axes `task` and `param`.

    Raises:
      ValueError: if the devices cannot be divided so.

    Examples:
      >>> dict(make_mesh(devices=jax.devices()[:1]).shape)
      {'task': 1, 'param': 1}
    """
    devices = jax.devices() if devices is None else list(devices)
    if param_shards < 1 or len(devices) % param_shards:
        raise ValueError(
            f"param_shards is {param_shards}, and there are {len(devices)} devices;"
            " give a divisor of their number."
        )
    return Mesh(np.array(devices).reshape(-1, param_shards), (TASK, PARAM))


def check_tasks(mesh: Mesh, num_tasks: int) -> None:
    """Sees that every device gets as many tasks.

    Raises:
      ValueError: if it does not.
    """
    if num_tasks % mesh.size:
        raise ValueError(
            f"{num_tasks} tasks a step cannot be shared by {mesh.size} devices; set"
            f" tasks_per_step to a multiple of {mesh.size}, or use fewer devices."
        )


def tasks_sharding(mesh: Mesh) -> NamedSharding:
    """How the leading axis of tasks is spread."""
    return NamedSharding(mesh, PartitionSpec((TASK, PARAM)))


def shardings(arrays: Any, mesh: Mesh) -> Any:
    """How parameters, or what has their shapes, are spread: along their longest axis.

    Args:
      arrays: a tree of arrays, or of what has a shape and a type.
      mesh: of `make_mesh`.

    Returns:
      A sharding a leaf. Small arrays, keys, and those of which no axis can be divided
      are on every device.
    """
    return jax.tree.map(lambda leaf: _sharding(leaf, mesh), arrays)


def _sharding(leaf: Any, mesh: Mesh) -> NamedSharding:
    shards, shape = mesh.shape[PARAM], np.shape(leaf)
    axes = [axis for axis, size in enumerate(shape) if size % shards == 0]
    spread = shards > 1 and axes and np.prod(shape) >= _LEAST and not is_key(leaf)
    if not spread:
        return NamedSharding(mesh, PartitionSpec())
    longest = max(axes, key=lambda axis: shape[axis])
    return NamedSharding(mesh, PartitionSpec(*[None] * longest, PARAM))


def constrain(arrays: Any, mesh: Mesh) -> Any:
    """Within a jitted function: keeps arrays spread as `shardings` says."""
    return jax.lax.with_sharding_constraint(arrays, shardings(arrays, mesh))


def is_key(leaf: Any) -> bool:
    """Whether an array holds typed keys."""
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
