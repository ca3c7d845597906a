"""Outer step compiled per batch shape, with as many tasks at once as fit the device."""

import logging
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh

from metaflax import _meta_gradient, base, profiling, tree
from metaflax._wording import see
from metaflax.profiling import _memory
from metaflax.profiling._cost import Cost
from metaflax.training import _processes
from metaflax.training._mesh import check_tasks
from metaflax.training._state import TrainState

GIB = 2**30

T = TypeVar("T")

_logger = logging.getLogger(__name__)


class CompiledStep(NamedTuple):
    """Outer step compiled for one batch shape.

    Attributes:
      run: `state, metrics = run(state, tasks)`, compiled; the state is donated.
      cost: cost of one call; None if unknown.
      available: free bytes of memory of the device; None if unknown.
      tasks_at_once: number of tasks that are computed together.
      rejected: larger numbers of tasks that did not fit, with their costs; a cost is
        None where the compiler ran out of memory.
      shapes: shapes of the batch, by path.
    """

    run: jax.stages.Compiled
    cost: Cost | None
    available: int | None
    tasks_at_once: int
    rejected: tuple[tuple[int, Cost | None], ...]
    shapes: dict[str, tuple[int, ...]]


class FittedStep:
    """Outer step for batches of any shape.

    Each shape is compiled once, and its cost is known before it runs. If it needs
    more memory than the device has left, fewer tasks are computed at once, which
    changes the meta-gradient by rounding only. Shapes are fitted independently of each
    other, so that a resumed run uses the same chunks as an uninterrupted one. A step
    whose cost is unknown is assumed to fit.

    Args:
      make_step: `step = make_step(task_loop)`, a jitted outer step.
      task_loop: preferred number of tasks at once, see `metaflax.value_and_grad`; with
        several devices, per device.
      mesh: the devices, if there are several.
      free_memory: `bytes = free_memory(device)`, or None if unknown.
      on_compiled: called with each compiled step, before it first runs.
      max_shapes: maximum number of shapes; None for any number.

    Raises:
      ValueError: for an unknown `task_loop`.
    """

    def __init__(
        self,
        make_step: Callable[[_meta_gradient.TaskLoop], Any],
        task_loop: _meta_gradient.TaskLoop = "auto",
        *,
        mesh: Mesh | None = None,
        free_memory: Callable[[Any], int | None] = _memory.free_memory,
        on_compiled: Callable[[CompiledStep], None] = lambda step: None,
        max_shapes: int | None = None,
    ):
        make_step(task_loop)  # Raises for an unknown task_loop.
        self._make_step = make_step
        self._task_loop: _meta_gradient.TaskLoop = task_loop
        self._mesh = mesh
        self._free_memory = free_memory
        self._on_compiled = on_compiled
        self._max_shapes = max_shapes
        self._compiled: dict[Any, CompiledStep] = {}

    def __call__(
        self, state: TrainState, tasks: base.Task
    ) -> tuple[TrainState, dict[str, Any]]:
        """Takes a step.

        Raises:
          ValueError: if even one task at a time does not fit the device.
        """
        return self.compiled(state, tasks).run(state, tasks)

    def compiled(self, state: TrainState, tasks: base.Task) -> CompiledStep:
        """Returns the step for tasks of this shape, compiling it if the shape is new.

        Raises:
          ValueError: if even one task at a time does not fit the device.
        """
        leaves, treedef = jax.tree.flatten(tasks)
        key = treedef, tuple((np.shape(x), np.dtype(x.dtype)) for x in leaves)
        if key not in self._compiled:
            # A bug, not a user error: batches are padded to a short list of shapes.
            limit = self._max_shapes
            assert limit is None or len(self._compiled) < limit, f"over {limit} shapes"
            self._compiled[key] = self._fit(state, tasks)
            self._on_compiled(self._compiled[key])
        return self._compiled[key]

    def _fit(self, state: TrainState, tasks: base.Task) -> CompiledStep:
        num_tasks = jax.tree.leaves(tasks)[0].shape[0]
        if self._mesh is not None:
            check_tasks(self._mesh, num_tasks)
            num_tasks //= self._mesh.size  # Tasks of one device.
        task_loop = self._task_loop
        chunk = _meta_gradient.chunk_size(task_loop, num_tasks)
        jax.block_until_ready(state)  # Frees the memory of the previous step.
        free = self._free(state)
        rejected = []
        while True:
            run, cost = _compile(self._make_step(task_loop), state, tasks)
            if run is not None and fits(cost, free):
                available = None
                if free is not None and cost is not None:
                    # The state and the tasks are in memory already.
                    available = free + cost.arguments
                return CompiledStep(
                    run, cost, available, chunk, tuple(rejected), _shapes(tasks)
                )
            rejected.append((chunk, cost))
            if chunk == 1:
                raise ValueError(too_large(cost, free))
            task_loop = chunk = smaller_chunk(chunk, num_tasks)

    def _free(self, state: TrainState) -> int | None:
        """Returns the free bytes of the fullest device, the same in all processes."""
        devices = jax.tree.leaves(state)[0].sharding.addressable_devices
        known = [_try_to(self._free_memory, device) for device in devices]
        least = min((free for free in known if free is not None), default=None)
        return _processes.minimum_over_processes(least)


def fits(cost: Cost | None, free: int | None) -> bool:
    """Returns whether the free memory holds what a step needs beside its arguments."""
    return free is None or cost is None or cost.new <= free


def smaller_chunk(chunk: int, num_tasks: int) -> int:
    """Returns the largest divisor of `num_tasks` up to half of `chunk`.

    Examples:
      >>> [smaller_chunk(chunk, 12) for chunk in (12, 6, 3)]
      [6, 3, 1]
    """
    return max(d for d in range(1, chunk // 2 + 1) if num_tasks % d == 0)


def too_large(cost: Cost | None, free: int | None) -> str:
    """Returns the error message for a step that does not fit the device."""
    if cost is None or free is None:
        which = "needs more memory than the device has"
    else:
        which = (
            f"needs {cost.peak / GIB:.3g} GiB of memory and the device has"
            f" {(free + cost.arguments) / GIB:.3g} for it"
        )
    return (
        f"one step {which}, even with one task at a time; take fewer or shorter texts"
        " (shot, queries, max_length), dtype bfloat16, an algorithm that adapts less"
        " or takes fewer inner steps, or the estimator mixed_mode with remat_every."
        + see("howto/memory")
    )


def _compile(
    step: Any, state: TrainState, tasks: base.Task
) -> tuple[jax.stages.Compiled | None, Cost | None]:
    """Compiles a step and estimates its cost; no step if memory was too small."""
    lowered = step.lower(state, tasks)
    try:
        compiled = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return None, None
    cost = _try_to(profiling.cost, compiled)
    _try_to(profiling.hand_back)  # Memory freed by compiling, before the step runs.
    return compiled, cost


def _try_to(inform: Callable[..., T], *args: Any) -> T | None:
    """Calls a function that is not essential for training; returns None if it fails."""
    try:
        return inform(*args)
    except Exception:
        _logger.debug("%s failed", inform, exc_info=True)
        return None


def _shapes(tasks: base.Task) -> dict[str, tuple[int, ...]]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(tasks)
    return {tree.path_name(path): np.shape(leaf) for path, leaf in leaves}
