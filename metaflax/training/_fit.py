"""The outer loop: steps, validation, early stopping, checkpoints."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np

from metaflax.training._checkpoints import Checkpoints
from metaflax.training._log import Sink
from metaflax.training._preemption import PreemptedError
from metaflax.training._state import TrainState
from metaflax.training._stopping import Stopping

B = TypeVar("B")


class FitResult(NamedTuple):
    """How a run ended.

    Attributes:
      params: the meta-parameters that validated best.
      stopping: the best score and its step.
      steps: outer steps taken in all.
      stopped_early: whether patience ended the run.
    """

    params: Any
    stopping: Stopping
    steps: int
    stopped_early: bool


class DivergedError(ValueError):
    """The meta-loss is not finite; the last good checkpoint is kept.

    Attributes:
      step: in which outer step that was seen.
    """

    def __init__(self, message: str, step: int):
        super().__init__(message)
        self.step = step


def fit(
    step_fn: Callable[[TrainState, B], tuple[TrainState, dict[str, Any]]],
    state: TrainState,
    tasks_from: Callable[[int], Iterator[B]],
    validate: Callable[[Any], dict[str, float]],
    checkpoints: Checkpoints,
    *,
    score: str,
    num_steps: int,
    eval_every: int,
    patience: int | None = None,
    max_skipped_steps: int = 0,
    sinks: Sequence[Sink] = (),
    preemption_requested: Callable[[int], bool] = lambda step: False,
) -> FitResult:
    """Meta-trains until the steps or the patience are used up.

    A run that finds a checkpoint goes on from the latest; its log and its result
    are those of a run that was never interrupted.

    Args:
      step_fn: the outer step, which donates its state, on a batch of tasks.
      state: of step 0.
      tasks_from: `tasks_from(step)` yields the batches of that step and after.
      validate: `metrics = validate(params)`, on episodes that never change.
      checkpoints: written at each validation.
      score: the metric that selects, more is better.
      num_steps: outer steps at most.
      eval_every: steps between validations; there is one before the first step too,
        and one after the last.
      patience: validations without improvement that end the run.
      max_skipped_steps: steps in a row whose loss or gradient may be not finite, for a
        `step_fn` that skips them.
      sinks: where records go.
      preemption_requested: called with the number of each step before it; if true,
        the state is saved as it is, without a validation, and the run ends.

    Returns:
      A `FitResult` with the best parameters.

    Raises:
      DivergedError: on one non-finite loss or gradient more than may be skipped in a
        row, naming the step and the episode.
      PreemptedError: if it was asked to end.
    """

    def validated(state: TrainState, stopping: Stopping) -> Stopping:
        metrics = validate(state.params)
        stopping = stopping.update(metrics[score], int(state.step))
        record = {f"valid_{name}": value for name, value in metrics.items()}
        _write(sinks, {"step": int(state.step), **record})
        checkpoints.save(state, stopping, metrics[score])
        return stopping

    latest = checkpoints.latest_step()
    if latest is None:
        stopping = validated(state, Stopping())
    else:
        state, stopping = checkpoints.restore(state, latest)

    step = int(state.step)
    tasks = tasks_from(step)
    log = _StepLog(sinks, max_skipped_steps)
    pending = None
    while step < num_steps and not stopping.should_stop(patience):
        if preemption_requested(step):
            if pending is not None:
                log.write(*pending)
            if checkpoints.latest_step() != step:
                checkpoints.save(state, stopping, -math.inf)  # Not to be the best.
                checkpoints.wait()
            raise PreemptedError(step)
        state, metrics = step_fn(state, next(tasks))
        step += 1
        # Read one step late, so that the device never waits for the log.
        if pending is not None:
            log.write(*pending)
        pending = (step, metrics)
        if step % eval_every == 0 or step == num_steps:
            log.write(*pending)  # Before saving: NaN is never a checkpoint.
            pending = None
            stopping = validated(state, stopping)
    best = checkpoints.read_params(state.params, stopping.best_step)
    return FitResult(best, stopping, step, step < num_steps)


class _StepLog:
    """Writes what steps gave, and ends a run that has too much of what is no number."""

    def __init__(self, sinks: Sequence[Sink], max_skipped_steps: int):
        self._sinks = sinks
        self._most_skipped = max_skipped_steps
        self._in_a_row = 0

    def write(self, step: int, metrics: dict[str, Any]) -> None:
        metrics = jax.device_get(metrics)
        loss, norm = float(metrics["loss"]), float(metrics["grad_norm"])
        if math.isfinite(loss) and math.isfinite(norm):
            self._in_a_row = 0
            record = {"step": step, "loss": loss, "grad_norm": norm}
            if share := float(np.mean(metrics.get("inner_diverged", 0.0))):
                record["inner_diverged"] = share  # Of the tasks.
            _write(self._sinks, record)
            return
        where = _not_finite(step, np.asarray(metrics["query_losses"]))
        self._in_a_row += 1
        if self._in_a_row > self._most_skipped:
            before = f", after {self._most_skipped} more" if self._most_skipped else ""
            raise DivergedError(
                f"the meta-loss is not finite at step {step}, on {where}{before};"
                " the last good checkpoint is kept. Lower the outer or inner learning"
                " rate.",
                step,
            )
        _write(self._sinks, {"step": step, "skipped": where})


def _not_finite(step: int, losses: np.ndarray) -> str:
    """Which episodes a step without a number was taken on."""
    first, bad = (step - 1) * len(losses), np.flatnonzero(~np.isfinite(losses))
    if bad.size:
        return f"episode {first + int(bad[0])}"
    return f"the gradient of episodes {first} to {first + len(losses) - 1}"


def _write(sinks: Sequence[Sink], record: dict[str, Any]) -> None:
    for sink in sinks:
        sink.write(record)
