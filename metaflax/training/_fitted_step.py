"""The outer step, compiled for each shape of batch so that it fits the device."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from metaflax import base, meta_gradient, profiling, tree
from metaflax.training import _processes
from metaflax.training._mesh import check_tasks
from metaflax.training._state import TrainState

GIB = 2**30


class CompiledStep(NamedTuple):
    """The outer step for one shape of batch.

    Attributes:
      run: `state, metrics = run(state, tasks)`, compiled; the state is donated.
      cost: what one run costs.
      available: bytes of memory that the device had for it; None if nobody knows.
      tasks_at_once: the chunk of tasks.
      rejected: larger chunks that did not fit, and what they would have cost; None
        where the compiler gave up.
      shapes: of the batch, by path.
    """

    run: jax.stages.Compiled
    cost: profiling.Cost
    available: int | None
    tasks_at_once: int
    rejected: tuple[tuple[int, profiling.Cost | None], ...]
    shapes: dict[str, tuple[int, ...]]


class FittedStep:
    """The outer step, for batches of any shape.

    Each shape is compiled once, and what it costs is known before it runs. Where it
    needs more memory than the device has left, fewer tasks are taken at once, which
    changes the meta-gradient by rounding only. A shape is fitted by itself, whatever
    came before: a run that is resumed takes the same chunks as one that was not.

    Args:
      make_step: `step = make_step(task_loop)`, a jitted outer step.
      task_loop: how many tasks at once are wanted, see `metaflax.value_and_grad`; of
        several devices each takes so many.
      mesh: the devices, where there are several.
      free_memory: `bytes = free_memory(device)`, or None if nobody knows.
      on_compiled: told of each shape, before it first runs.
      most_shapes: how many there may be; None for any number.

    Raises:
      ValueError: for an unknown `task_loop`.
    """

    def __init__(
        self,
        make_step: Callable[[meta_gradient.TaskLoop], Any],
        task_loop: meta_gradient.TaskLoop = "auto",
        *,
        mesh: Mesh | None = None,
        free_memory: Callable[[Any], int | None] = profiling.free_memory,
        on_compiled: Callable[[CompiledStep], None] = lambda step: None,
        most_shapes: int | None = None,
    ):
        make_step(task_loop)  # Refuses at once what is no number of tasks.
        self._make_step = make_step
        self._tasks_by: meta_gradient.TaskLoop = task_loop
        self._mesh = mesh
        self._free_memory = free_memory
        self._on_compiled = on_compiled
        self._most_shapes = most_shapes
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
        """The step for tasks of this shape, compiled if it is new.

        Raises:
          ValueError: if even one task at a time does not fit the device.
        """
        leaves, treedef = jax.tree.flatten(tasks)
        key = treedef, tuple((np.shape(x), np.dtype(x.dtype)) for x in leaves)
        if key not in self._compiled:
            # Not a user's mistake: batches are padded to shapes of a short list.
            most = self._most_shapes
            assert most is None or len(self._compiled) < most, f"over {most} shapes"
            self._compiled[key] = self._fit(state, tasks)
            self._on_compiled(self._compiled[key])
        return self._compiled[key]

    def _fit(self, state: TrainState, tasks: base.Task) -> CompiledStep:
        num_tasks = jax.tree.leaves(tasks)[0].shape[0]
        if self._mesh is not None:
            check_tasks(self._mesh, num_tasks)
            num_tasks //= self._mesh.size  # Those of one device.
        wanted = self._tasks_by
        chunk = meta_gradient.chunk_size(wanted, num_tasks)
        jax.block_until_ready(state)  # What the last step needs is free again.
        free = self._free(state)
        rejected = []
        while True:
            run, cost = _compile(self._make_step(wanted), state, tasks)
            if run is not None and cost is not None and fits(cost, free):
                # The state and the tasks are in memory already.
                available = None if free is None else free + cost.arguments
                return CompiledStep(
                    run, cost, available, chunk, tuple(rejected), _shapes(tasks)
                )
            rejected.append((chunk, cost))
            if chunk == 1:
                raise ValueError(too_large(cost, free))
            wanted = chunk = smaller_chunk(chunk, num_tasks)

    def _free(self, state: TrainState) -> int | None:
        """Bytes that the device with the least has left; all processes say the same."""
        devices = jax.tree.leaves(state)[0].sharding.addressable_devices
        known = [self._free_memory(device) for device in devices]
        least = min((free for free in known if free is not None), default=None)
        return _processes.minimum_over_processes(least)


def fits(cost: profiling.Cost, free: int | None) -> bool:
    """Whether what a step needs beside its arguments, which are there, is free."""
    return free is None or cost.new <= free


def smaller_chunk(chunk: int, num_tasks: int) -> int:
    """The next smaller number of tasks at once: half of it, or the divisor below.

    Examples:
      >>> [smaller_chunk(chunk, 12) for chunk in (12, 6, 3)]
      [6, 3, 1]
    """
    return max(d for d in range(1, chunk // 2 + 1) if num_tasks % d == 0)


def too_large(cost: profiling.Cost | None, free: int | None) -> str:
    """Why there is no step, and what would make one."""
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
    )


def _compile(
    step: Any, state: TrainState, tasks: base.Task
) -> tuple[jax.stages.Compiled | None, profiling.Cost | None]:
    """The compiled step and its cost; neither where the compiler finds no room."""
    lowered = step.lower(state, tasks)
    try:
        compiled = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return None, None
    cost = profiling.cost(compiled)
    profiling.hand_back()  # What compiling took, before the step takes its own.
    return compiled, cost


def _shapes(tasks: base.Task) -> dict[str, tuple[int, ...]]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(tasks)
    return {tree.path_name(path): np.shape(leaf) for path, leaf in leaves}
