"""Where the time of one step goes, by part of the work and by kind."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metaflax.profiling._hlo import Program, parse
from metaflax.profiling._parts import OTHER, place_of
from metaflax.profiling._trace import STEP, Trace, newest_profile, read_trace
from metaflax.profiling._work import Analyst

PRODUCT = "matrix product"

# Their own time is that of no operation: they wait for others.
_CONTAINERS = {"while", "conditional"}


class Row(NamedTuple):
    """What one kind of work of one part takes, in one step.

    Attributes:
      part: as people think of it, such as `attention`.
      kind: such as `matrix product`.
      backward: whether it carries derivatives back.
      ms: wall-clock time; operations that run at the same moment share it evenly.
      calls: operations that begin.
      flops: floating-point operations of matrix products.
    """

    part: str
    kind: str
    backward: bool
    ms: float
    calls: float
    flops: float


class HostTimes(NamedTuple):
    """What the host does for one step, on a thread beside it.

    Attributes:
      making_ms: drawing the episodes and padding them to a batch.
      transfer_ms: bringing the batch to the device.
    """

    making_ms: float
    transfer_ms: float

    def waiting_ms(self, step_ms: float) -> float:
        """What a long run waits for each batch, since it is made during a step."""
        return max(0.0, self.making_ms + self.transfer_ms - step_ms)


class Profile(NamedTuple):
    """Where the time of one step goes.

    Attributes:
      step_ms: of a step that nobody watches.
      profiled_ms: of one that the profiler watches; what the rows and `idle_ms` add
        up to.
      idle_ms: when no operation ran: launching, and waiting for each other.
      rows: what operations took.
      host: what the host does meanwhile.
      steps: how many were profiled.
      trace: the file that jax wrote.
    """

    step_ms: float
    profiled_ms: float
    idle_ms: float
    rows: tuple[Row, ...]
    host: HostTimes
    steps: int
    trace: Path

    def record(self) -> dict[str, Any]:
        """The same for JSON."""
        return {
            "step_ms": self.step_ms,
            "profiled_ms": self.profiled_ms,
            "idle_ms": self.idle_ms,
            "rows": [row._asdict() for row in self.rows],
            "host": {
                **self.host._asdict(),
                "waiting_ms": self.host.waiting_ms(self.step_ms),
            },
            "steps": self.steps,
            "trace": str(self.trace),
        }


def profile(
    executable: jax.stages.Compiled,
    state: Any,
    batches: Iterable[Any],
    folder: Path,
    *,
    steps: int = 3,
) -> Profile:
    """Runs a few steps that are thrown away, and says where their time goes.

    One step warms up, as many as are profiled are only timed, then come those that
    are profiled.

    Args:
      executable: the compiled step, `state, metrics = executable(state, batch)`.
      state: before the steps; it is copied, and not donated.
      batches: on the host; those of another shape than the first are passed over.
      folder: gets the profile, for TensorBoard or Perfetto.
      steps: how many are profiled.

    Returns:
      A `Profile`.

    Raises:
      ValueError: if the backend reports no operations.
    """
    making, moving, watched, unwatched = [], [], [], []
    ready = map(
        _timed(lambda batch: jax.block_until_ready(jax.device_put(batch)), moving),
        _alike(batches, making),
    )
    state = jax.tree.map(jnp.array, state)

    def run(seconds: list[float]) -> None:
        nonlocal state
        batch = next(ready)
        step = _timed(lambda: jax.block_until_ready(executable(state, batch)), seconds)
        with jax.profiler.TraceAnnotation(STEP):
            state, _ = step()

    run([])
    for _ in range(steps):
        run(unwatched)
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0  # Every call of Python would slow the steps down.
    with jax.profiler.trace(str(folder), profiler_options=options):
        for _ in range(steps):
            run(watched)
    path = newest_profile(folder)
    program = parse(executable.as_text() or "")
    containers = frozenset(
        op.name for op in program.operations().values() if op.opcode in _CONTAINERS
    )
    trace = read_trace(path, program.name, containers)
    return Profile(
        step_ms=_mean_ms(unwatched),
        profiled_ms=1e3 * trace.seconds / trace.steps,
        idle_ms=1e3 * (trace.seconds - sum(trace.operations.values())) / trace.steps,
        rows=attributed(trace, program),
        # The first batch finds everything cold.
        host=HostTimes(_mean_ms(making[1:]), _mean_ms(moving[1:])),
        steps=trace.steps,
        trace=path,
    )


def attributed(trace: Trace, program: Program) -> tuple[Row, ...]:
    """The time of operations, by part, kind and direction, the longest first."""
    analyst, operations = Analyst(program), program.operations()
    sums: dict[tuple[str, str, bool], np.ndarray] = defaultdict(lambda: np.zeros(3))
    for name, seconds in trace.operations.items():
        count = trace.counts.get(name, 0)
        if op := operations.get(name):
            place, kind = place_of(analyst.paths(op)), analyst.kind(op)
            key, flops = (place.part, kind, place.backward), analyst.flops(op)
        else:  # The runtime's own, such as a graph of many operations.
            key, flops = (OTHER, OTHER, False), 0.0
        sums[key] += np.array([1e3 * seconds, count, count * flops]) / trace.steps
    rows = [Row(*key, *map(float, total)) for key, total in sums.items()]
    return tuple(sorted(rows, key=lambda row: -row.ms))


def _timed(fn: Callable[..., Any], seconds: list[float]) -> Callable[..., Any]:
    """A function that notes how long each call takes."""

    def timed(*args: Any) -> Any:
        begun = time.perf_counter()
        result = fn(*args)
        seconds.append(time.perf_counter() - begun)
        return result

    return timed


def _alike(batches: Iterable[Any], making: list[float]) -> Iterator[Any]:
    """The batches of the first one's shape; notes how long each one took to make."""
    make = _timed(iter(batches).__next__, making)
    first = make()
    yield first
    while True:
        batch = make()
        if _shapes(batch) == _shapes(first):
            yield batch


def _shapes(batch: Any) -> Any:
    return jax.tree.map(np.shape, batch)


def _mean_ms(seconds: list[float]) -> float:
    return 1e3 * sum(seconds) / len(seconds)
