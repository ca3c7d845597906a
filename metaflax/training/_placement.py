"""Placement of states and tasks on one device or several."""

from typing import Any, Protocol

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from metaflax.training import _mesh
from metaflax.training._state import TrainState


class Placement(Protocol):
    """Placement of the arrays of a run."""

    @property
    def mesh(self) -> Mesh | None:
        """Mesh of the devices; None if there is only one."""
        ...

    def place(self, state: TrainState) -> TrainState:
        """Puts a state on the devices; every process passes the same one."""
        ...

    def whole(self, arrays: Any) -> Any:
        """Gathers parameters on the first device of every process."""
        ...

    def local_tasks(self, num_tasks: int) -> np.ndarray:
        """Returns the sorted indices of the tasks of a step that this process loads."""
        ...

    def spread(self, tasks: Any, num_tasks: int) -> Any:
        """Puts the T tasks of a step on the devices, from those of this process."""
        ...


class OneDevice:
    """Placement on the first device, see `Placement`."""

    mesh = None

    def place(self, state: TrainState) -> TrainState:
        """Commits a state to the device, as restoring a checkpoint does.

        Otherwise functions would be compiled again for the restored state.
        """
        return jax.device_put(state, jax.local_devices()[0])

    def whole(self, arrays: Any) -> Any:
        """Returns the parameters as they are."""
        return arrays

    def local_tasks(self, num_tasks: int) -> np.ndarray:
        """Returns the indices of all tasks."""
        return np.arange(num_tasks)

    def spread(self, tasks: Any, num_tasks: int) -> Any:
        """Puts the tasks on the device."""
        del num_tasks
        return jax.device_put(tasks)


class OverDevices:
    """Placement over a mesh that shards tasks and parameters, see `Placement`.

    Args:
      mesh: mesh from `make_mesh`; if it has devices of several processes, all of them
        have to make the same calls.

    Examples:
      >>> import jax, jax.numpy as jnp, optax
      >>> from metaflax import training
      >>> mesh = jax.make_mesh((1, 1), ("task", "param"), devices=jax.devices()[:1])
      >>> placement = training.OverDevices(mesh)
      >>> params = {"w": jnp.arange(3.0)}
      >>> state = training.create(params, optax.sgd(0.1), jax.random.key(0))
      >>> placed = placement.place(state)
      >>> print(placement.local_tasks(4), placement.whole(placed.params)["w"])
      [0 1 2 3] [0. 1. 2.]
    """

    def __init__(self, mesh: Mesh):
        self.mesh = mesh

    def place(self, state: TrainState) -> TrainState:
        """Shards a state that each process holds as a whole."""
        return jax.tree.map(_put, state, _mesh.shardings(state, self.mesh))

    def whole(self, arrays: Any) -> Any:
        """Gathers parameters from all devices; all processes have to call it."""
        replicated = NamedSharding(self.mesh, PartitionSpec())
        gathered = jax.jit(lambda x: x, out_shardings=replicated)(arrays)
        first = jax.local_devices()[0]

        def local(leaf: jax.Array) -> jax.Array:
            return jax.device_put(leaf.addressable_data(0), first)

        return jax.tree.map(local, gathered)

    def local_tasks(self, num_tasks: int) -> np.ndarray:
        """Returns the indices of the tasks on devices of this process."""
        indices = _mesh.tasks_sharding(self.mesh).addressable_devices_indices_map(
            (num_tasks,)
        )
        parts = {index[0].indices(num_tasks) for index in indices.values() if index}
        return np.concatenate([np.arange(*part) for part in sorted(parts)])

    def spread(self, tasks: Any, num_tasks: int) -> Any:
        """Assembles sharded arrays from the tasks of each process."""
        local, sharding = self.local_tasks(num_tasks), _mesh.tasks_sharding(self.mesh)

        def on_devices(leaf: np.ndarray) -> jax.Array:
            def part(index: Any) -> np.ndarray:
                first, last, _ = index[0].indices(num_tasks)
                begin = int(np.searchsorted(local, first))
                return leaf[begin : begin + last - first]

            shape = num_tasks, *np.shape(leaf)[1:]
            return jax.make_array_from_callback(shape, sharding, part)

        return jax.tree.map(on_devices, tasks)


def spread_over(num_tasks: int, param_shards: int = 1) -> Placement:
    """Places a run on all devices, or on as many as can share the tasks of a step.

    Several processes always use all devices.

    Args:
      num_tasks: T, number of tasks per step.
      param_shards: number of devices that share a copy of the parameters.

    Returns:
      The placement.

    Raises:
      ValueError: if the devices cannot share the tasks, or the parameters.

    Examples:
      >>> spread_over(num_tasks=1).mesh is None
      True
    """
    devices = jax.devices()
    if jax.process_count() == 1:
        divisors = [n for n in range(1, len(devices) + 1) if num_tasks % n == 0]
        usable = [n for n in divisors if n % max(param_shards, 1) == 0]
        devices = devices[: max(usable, default=0)] or devices
    if len(devices) == 1 and param_shards == 1:
        return OneDevice()
    mesh = _mesh.make_mesh(param_shards, devices)
    _mesh.check_tasks(mesh, num_tasks)
    return OverDevices(mesh)


def _put(leaf: Any, sharding: NamedSharding) -> jax.Array:
    if _mesh.is_key(leaf):
        data = _put(jax.random.key_data(leaf), sharding)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
    array = np.asarray(leaf)
    return jax.make_array_from_callback(array.shape, sharding, array.__getitem__)
