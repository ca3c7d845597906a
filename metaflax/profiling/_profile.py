"""Time of one training step, by part of the step and kind of operation."""

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

# Operations that only wait for others.
_CONTAINERS = {"while", "conditional"}


class Row(NamedTuple):
    """Time of one kind of operation in one part of the step.

    Attributes:
      part: part of the step, such as `attention`.
      kind: kind of operation, such as `matrix product`.
      backward: whether it belongs to a backward pass.
      ms: wall-clock time; operations that run at once share it evenly.
      calls: number of executions.
      flops: floating-point operations of matrix products.
    """

    part: str
    kind: str
    backward: bool
    ms: float
    calls: float
    flops: float


class HostTimes(NamedTuple):
    """Time that the host spends on the batch of one step, on another thread.

    Attributes:
      making_ms: time to draw the episodes and pad them to a batch.
      transfer_ms: time to transfer the batch to the device.
    """

    making_ms: float
    transfer_ms: float

    def waiting_ms(self, step_ms: float) -> float:
        """Computes how long a step waits for its batch, made during the last step."""
        return max(0.0, self.making_ms + self.transfer_ms - step_ms)


class Profile(NamedTuple):
    """Time of one training step.

    Attributes:
      step_ms: duration of a step without the profiler.
      profiled_ms: duration of a step under the profiler; the sum of the rows and
        `idle_ms`.
      idle_ms: time in which no operation runs, but is launched or waited for.
      rows: time by part and kind of operation.
      host: time that the host spends in the meantime.
      steps: number of profiled steps.
      trace: file that jax wrote.
    """

    step_ms: float
    profiled_ms: float
    idle_ms: float
    rows: tuple[Row, ...]
    host: HostTimes
    steps: int
    trace: Path

    def record(self) -> dict[str, Any]:
        """Returns the profile as a JSON object."""
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
    """Profiles a few steps, whose results are discarded.

    One step warms up, `steps` steps are timed without the profiler, and as many with
    it.

    Args:
      executable: the compiled step, `state, metrics = executable(state, batch)`.
      state: state before the steps; it is copied, not donated.
      batches: batches on the host; those of another shape than the first are skipped.
      folder: folder for the trace, for TensorBoard or Perfetto.
      steps: number of profiled steps.

    Returns:
      A `Profile`.

    Raises:
      ValueError: if the backend reports no operations.

    Examples:
      >>> import pathlib, tempfile
      >>> import jax, jax.numpy as jnp
      >>> from metaflax import profiling
      >>> step = jax.jit(lambda state, batch: (state + (batch @ batch).mean(), {}))
      >>> start, batch = jnp.zeros(()), jnp.ones((64, 64))
      >>> executable = step.lower(start, batch).compile()
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = pathlib.Path(folder)
      ...     result = profiling.profile(executable, start, [batch] * 7, path, steps=2)
      >>> result.steps, 0 < result.step_ms, any(row.ms > 0 for row in result.rows)
      (2, True, True)
    """
    making, transferring, profiled, unprofiled = [], [], [], []
    ready = map(
        _timed(
            lambda batch: jax.block_until_ready(jax.device_put(batch)), transferring
        ),
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
        run(unprofiled)
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0  # Tracing Python calls slows the steps down.
    with jax.profiler.trace(str(folder), profiler_options=options):
        for _ in range(steps):
            run(profiled)
    path = newest_profile(folder)
    program = parse(executable.as_text() or "")
    containers = frozenset(
        op.name for op in program.operations().values() if op.opcode in _CONTAINERS
    )
    trace = read_trace(path, program.name, containers)
    return Profile(
        step_ms=_mean_ms(unprofiled),
        profiled_ms=1e3 * trace.seconds / trace.steps,
        idle_ms=1e3 * (trace.seconds - sum(trace.operations.values())) / trace.steps,
        rows=attributed(trace, program),
        # The first batch is made with cold caches.
        host=HostTimes(_mean_ms(making[1:]), _mean_ms(transferring[1:])),
        steps=trace.steps,
        trace=path,
    )


def attributed(trace: Trace, program: Program) -> tuple[Row, ...]:
    """Sums the time of operations by part, kind and direction, longest first."""
    analyst, operations = Analyst(program), program.operations()
    sums: dict[tuple[str, str, bool], np.ndarray] = defaultdict(lambda: np.zeros(3))
    for name, seconds in trace.operations.items():
        count = trace.counts.get(name, 0)
        if op := operations.get(name):
            place, kind = place_of(analyst.paths(op)), analyst.kind(op)
            key, flops = (place.part, kind, place.backward), analyst.flops(op)
        else:  # An operation of the runtime, such as a CUDA graph.
            key, flops = (OTHER, OTHER, False), 0.0
        sums[key] += np.array([1e3 * seconds, count, count * flops]) / trace.steps
    rows = [Row(*key, *map(float, total)) for key, total in sums.items()]
    return tuple(sorted(rows, key=lambda row: -row.ms))


def _timed(fn: Callable[..., Any], seconds: list[float]) -> Callable[..., Any]:
    """Wraps `fn` so that the duration of each call is appended to `seconds`."""

    def timed(*args: Any) -> Any:
        start = time.perf_counter()
        result = fn(*args)
        seconds.append(time.perf_counter() - start)
        return result

    return timed


def _alike(batches: Iterable[Any], making: list[float]) -> Iterator[Any]:
    """Yields the batches of the first one's shape; appends their times to `making`."""
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
