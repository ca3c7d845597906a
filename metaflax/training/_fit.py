"""Outer loop: steps, validation, early stopping, checkpoints."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np

from metaflax._wording import see
from metaflax.training._checkpoints import Checkpoints
from metaflax.training._log import Sink
from metaflax.training._preemption import PreemptedError
from metaflax.training._state import TrainState
from metaflax.training._stopping import Stopping

B = TypeVar("B")


class FitResult(NamedTuple):
    """Result of `fit`.

    Attributes:
      params: the meta-parameters that validated best.
      stopping: the best score and its step.
      steps: number of outer steps taken.
      stopped_early: whether patience ended the run.
    """

    params: Any
    stopping: Stopping
    steps: int
    stopped_early: bool


class DivergedError(ValueError):
    """Raised for a non-finite meta-loss; the last good checkpoint is kept.

    Args:
      message: one sentence.
      step: the outer step with the non-finite loss.

    Attributes:
      step: the outer step with the non-finite loss.

    Examples:
      >>> from metaflax import training
      >>> try:
      ...     raise training.DivergedError("the meta-loss is not finite at step 7.", 7)
      ... except ValueError as error:
      ...     print(error, error.step)
      the meta-loss is not finite at step 7. 7
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
    preemption_requested: Callable[[int], int] = lambda step: 0,
) -> FitResult:
    """Meta-trains until the steps or the patience are used up.

    If there is a checkpoint, training resumes from the latest; log and result equal
    those of an uninterrupted run.

    Args:
      step_fn: `state, metrics = step_fn(state, tasks)`, the outer step; it donates its
        state.
      state: state of step 0.
      tasks_from: `tasks_from(step)` yields the batches of that and all later steps.
      validate: `metrics = validate(params)`, on a fixed list of episodes.
      checkpoints: written at each validation.
      score: the metric that ranks checkpoints, higher is better.
      num_steps: maximum number of outer steps.
      eval_every: steps between validations; there is also one before the first step
        and one after the last.
      patience: validations without improvement that end the run.
      max_skipped_steps: how many consecutive steps may have a non-finite loss or
        gradient, for a `step_fn` that skips them.
      sinks: receive log records.
      preemption_requested: called before each step with its number; if it returns the
        number of a signal, the state is saved without a validation, and the run ends.

    Returns:
      A `FitResult` with the best parameters.

    Raises:
      DivergedError: if more than `max_skipped_steps` consecutive steps have a
        non-finite loss or gradient; the message names the step and the episode.
      PreemptedError: if preemption was requested.

    Examples:
      >>> import itertools, pathlib, tempfile
      >>> import jax, jax.numpy as jnp, optax
      >>> import metaflax
      >>> from metaflax import training
      >>> algorithm = metaflax.maml(
      ...     lambda params, x, key: params["w"] * x,
      ...     lambda out, y, weights: jnp.mean(weights * (out - y) ** 2),
      ...     lambda key: {"w": jnp.zeros(())},
      ...     optax.sgd(0.25),
      ...     num_steps=1,
      ... )
      >>> optimizer, key = optax.sgd(0.5), jax.random.key(0)
      >>> ones = jnp.ones((1, 1))  # One task of one example.
      >>> batch = metaflax.Batch(ones, 2 * ones, ones)
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     checkpoints = training.Checkpoints(pathlib.Path(folder))
      ...     result = training.fit(
      ...         training.make_step(algorithm, optimizer),
      ...         training.create(algorithm.init(key), optimizer, key),
      ...         tasks_from=lambda step: itertools.repeat(metaflax.Task(batch, batch)),
      ...         validate=lambda params: {"score": -abs(float(params["w"]) - 2)},
      ...         checkpoints=checkpoints,
      ...         score="score",
      ...         num_steps=2,
      ...         eval_every=1,
      ...     )
      ...     checkpoints.close()
      >>> print(result.params["w"], result.stopping.best_step, result.stopped_early)
      0.875 2 False
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
        if number := preemption_requested(step):
            if pending is not None:
                log.write(*pending)
            if checkpoints.latest_step() != step:
                checkpoints.save(state, stopping, -math.inf)  # Never the best.
                checkpoints.wait()
            raise PreemptedError(step, number)
        state, metrics = step_fn(state, next(tasks))
        step += 1
        # Logs one step late, so that the device never waits for the host.
        if pending is not None:
            log.write(*pending)
        pending = (step, metrics)
        if step % eval_every == 0 or step == num_steps:
            log.write(*pending)  # Before saving: a checkpoint never has NaN.
            pending = None
            stopping = validated(state, stopping)
    best = checkpoints.read_params(state.params, stopping.best_step)
    return FitResult(best, stopping, step, step < num_steps)


class _StepLog:
    """Logs steps, and raises an error after too many non-finite ones."""

    def __init__(self, sinks: Sequence[Sink], max_skipped_steps: int):
        self._sinks = sinks
        self._max_skipped_steps = max_skipped_steps
        self._num_skipped = 0

    def write(self, step: int, metrics: dict[str, Any]) -> None:
        metrics = jax.device_get(metrics)
        loss, norm = float(metrics["loss"]), float(metrics["grad_norm"])
        if math.isfinite(loss) and math.isfinite(norm):
            self._num_skipped = 0
            record = {"step": step, "loss": loss, "grad_norm": norm}
            if share := float(np.mean(metrics.get("inner_diverged", 0.0))):
                record["inner_diverged"] = share  # Share of the tasks.
            _write(self._sinks, record)
            return
        where = _non_finite_episodes(step, np.asarray(metrics["query_losses"]))
        self._num_skipped += 1
        if self._num_skipped > self._max_skipped_steps:
            limit = self._max_skipped_steps
            before = f", after {limit} more" if limit else ""
            raise DivergedError(
                f"the meta-loss is not finite at step {step}, on {where}{before};"
                " the last good checkpoint is kept. Lower the outer or inner learning"
                f" rate.{see('howto/diverged')}",
                step,
            )
        _write(self._sinks, {"step": step, "skipped": where})


def _non_finite_episodes(step: int, losses: np.ndarray) -> str:
    """Describes the episodes of a step with non-finite values."""
    first, bad = (step - 1) * len(losses), np.flatnonzero(~np.isfinite(losses))
    if bad.size:
        return f"episode {first + int(bad[0])}"
    return f"the gradient of episodes {first} to {first + len(losses) - 1}"


def _write(sinks: Sequence[Sink], record: dict[str, Any]) -> None:
    for sink in sinks:
        sink.write(record)
