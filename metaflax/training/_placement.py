"""How arrays get to the devices that train, and back."""

from typing import Any, Protocol

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from metaflax.training import _mesh
from metaflax.training._state import TrainState


class Placement(Protocol):
    """Where the arrays of a run lie."""

    @property
    def mesh(self) -> Mesh | None:
        """The devices; None where there is one."""
        ...

    def place(self, state: TrainState) -> TrainState:
        """A state, the same in every process, on the devices."""
        ...

    def whole(self, arrays: Any) -> Any:
        """Parameters of `place`, each on the first device of every process."""
        ...

    def own_tasks(self, num_tasks: int) -> np.ndarray:
        """The numbers, rising, of those tasks of a step that this process brings."""
        ...

    def spread(self, tasks: Any, num_tasks: int) -> Any:
        """The T tasks of a step on the devices, leaves `[T, ...]`, from own ones."""
        ...


class OneDevice:
    """Everything on the first device."""

    mesh = None

    def place(self, state: TrainState) -> TrainState:
        """Binds a state to the device, as one that is read from a checkpoint is.

        Else everything would be compiled again when it first meets the latter.
        """
        return jax.device_put(state, jax.local_devices()[0])

    def whole(self, arrays: Any) -> Any:
        """Parameters as they are."""
        return arrays

    def own_tasks(self, num_tasks: int) -> np.ndarray:
        """All of them."""
        return np.arange(num_tasks)

    def spread(self, tasks: Any, num_tasks: int) -> Any:
        """Tasks on the device."""
        del num_tasks
        return jax.device_put(tasks)


class OverDevices:
    """Tasks, and perhaps parameters, spread over a mesh.

    Args:
      mesh: of `make_mesh`; it may have devices of several processes, which then all
        have to do the same.
    """

    def __init__(self, mesh: Mesh):
        self.mesh = mesh

    def place(self, state: TrainState) -> TrainState:
        """Spreads a state, of which each process holds the whole."""
        return jax.tree.map(_placed, state, _mesh.shardings(state, self.mesh))

    def whole(self, arrays: Any) -> Any:
        """Fetches parameters from all devices; all processes must ask for it."""
        everywhere = NamedSharding(self.mesh, PartitionSpec())
        gathered = jax.jit(lambda held: held, out_shardings=everywhere)(arrays)
        first = jax.local_devices()[0]

        def local(leaf: jax.Array) -> jax.Array:
            return jax.device_put(leaf.addressable_data(0), first)

        return jax.tree.map(local, gathered)

    def own_tasks(self, num_tasks: int) -> np.ndarray:
        """Those of the devices that this process has."""
        places = _mesh.tasks_sharding(self.mesh).addressable_devices_indices_map(
            (num_tasks,)
        )
        parts = {index[0].indices(num_tasks) for index in places.values() if index}
        return np.concatenate([np.arange(*part) for part in sorted(parts)])

    def spread(self, tasks: Any, num_tasks: int) -> Any:
        """Puts together what each process brings."""
        own, sharding = self.own_tasks(num_tasks), _mesh.tasks_sharding(self.mesh)

        def on_devices(leaf: np.ndarray) -> jax.Array:
            def part(index: Any) -> np.ndarray:
                first, last, _ = index[0].indices(num_tasks)
                begin = int(np.searchsorted(own, first))
                return leaf[begin : begin + last - first]

            shape = num_tasks, *np.shape(leaf)[1:]
            return jax.make_array_from_callback(shape, sharding, part)

        return jax.tree.map(on_devices, tasks)


def spread_over(num_tasks: int, param_shards: int = 1) -> Placement:
    """All devices, or of one process the most that can share the tasks of a step.

    Args:
      num_tasks: T, tasks of a step.
      param_shards: how many devices share a copy of the parameters.

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
        shared = [n for n in range(1, len(devices) + 1) if num_tasks % n == 0]
        most = max((n for n in shared if n % max(param_shards, 1) == 0), default=0)
        devices = devices[:most] or devices
    if len(devices) == 1 and param_shards == 1:
        return OneDevice()
    mesh = _mesh.make_mesh(param_shards, devices)
    _mesh.check_tasks(mesh, num_tasks)
    return OverDevices(mesh)


def _placed(leaf: Any, sharding: NamedSharding) -> jax.Array:
    if _mesh.is_key(leaf):
        kind = jax.random.key_impl(leaf)
        data = _placed(jax.random.key_data(leaf), sharding)
        return jax.random.wrap_key_data(data, impl=kind)
    held = np.asarray(leaf)
    return jax.make_array_from_callback(held.shape, sharding, held.__getitem__)
