"""Meshes of devices, and the shardings of tasks and parameters.

A mesh has two axes. The tasks of a step are sharded over all devices. Parameters and
optimizer state are sharded over the axis `param` and replicated over the axis `task`:
with `param` of size 1 this is data parallelism, with a larger one fully sharded data
parallelism (Rajbhandari et al., arXiv 1910.02054).
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

TASK, PARAM = "task", "param"
# Smaller arrays are replicated: gathering them would cost more than it saves.
_MIN_SHARDED_SIZE = 2**10


def make_mesh(param_shards: int = 1, devices: Sequence[Any] | None = None) -> Mesh:
    """Creates the mesh of devices that train together.

    Args:
      param_shards: number of devices that share one copy of the parameters.
      devices: devices of the mesh (default: all, including those of other processes).

    Returns:
      A mesh with axes `task` and `param`.

    Raises:
      ValueError: if `param_shards` does not divide the number of devices.

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
    return jax.make_mesh(
        (len(devices) // param_shards, param_shards),
        (TASK, PARAM),
        axis_types=(AxisType.Auto, AxisType.Auto),
        devices=devices,
    )


def check_tasks(mesh: Mesh, num_tasks: int) -> None:
    """Checks that every device gets the same number of tasks.

    Raises:
      ValueError: if the number of devices does not divide the number of tasks.
    """
    if num_tasks % mesh.size:
        raise ValueError(
            f"{num_tasks} tasks a step cannot be shared by {mesh.size} devices; set"
            f" tasks_per_step to a multiple of {mesh.size}, or use fewer devices."
        )


def tasks_sharding(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of the leading axis of tasks."""
    return NamedSharding(mesh, PartitionSpec((TASK, PARAM)))


def shardings(arrays: Any, mesh: Mesh) -> Any:
    """Returns the shardings of parameters or optimizer state.

    Args:
      arrays: a tree of arrays, or of shapes and types.
      mesh: mesh from `make_mesh`.

    Returns:
      For each leaf a sharding of its longest axis. Small arrays, keys, and arrays
      without a divisible axis are replicated.
    """
    return jax.tree.map(lambda leaf: _sharding(leaf, mesh), arrays)


def _sharding(leaf: Any, mesh: Mesh) -> NamedSharding:
    shards, shape = mesh.shape[PARAM], np.shape(leaf)
    axes = [axis for axis, size in enumerate(shape) if size % shards == 0]
    sharded = (
        shards > 1 and axes and np.prod(shape) >= _MIN_SHARDED_SIZE and not is_key(leaf)
    )
    if not sharded:
        return NamedSharding(mesh, PartitionSpec())
    longest = max(axes, key=lambda axis: shape[axis])
    return NamedSharding(mesh, PartitionSpec(*[None] * longest, PARAM))


def constrain(arrays: Any, mesh: Mesh) -> Any:
    """Constrains arrays to their `shardings`, within a jitted function."""
    return jax.lax.with_sharding_constraint(arrays, shardings(arrays, mesh))


def is_key(leaf: Any) -> bool:
    """Returns whether an array holds typed keys."""
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
