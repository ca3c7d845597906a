"""The outer loop of a run, within its directory."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import jax
from rich.console import Console

from metaflax import config as config_lib
from metaflax import data, training
from metaflax.workflows.runs._run_directory import RunDirectory

B = TypeVar("B")


def outer_optimizer(chosen: config_lib.TrainingConfig, clip_norm: float | None) -> Any:
    """The outer optimizer that a config names."""
    warmup = int(chosen.warmup * chosen.steps)

    def rate(peak: float | None) -> Any:
        if peak is None:
            return None
        return training.schedule(chosen.schedule, peak, chosen.steps, warmup)

    return training.outer_optimizer(
        chosen.optimizer,
        rate(chosen.learning_rate),
        head_learning_rate=rate(chosen.head_learning_rate),
        inner_learning_rate=rate(chosen.hyper_learning_rate),
        weight_decay=chosen.weight_decay,
        clip_norm=clip_norm,
    )


def fit_within(
    directory: RunDirectory,
    console: Console,
    step: Callable[[training.TrainState, B], tuple[training.TrainState, Any]],
    state: training.TrainState,
    batches: Callable[[int], Iterator[B]],
    validate: Callable[[Any], dict[str, float]],
    chosen: config_lib.TrainingConfig | config_lib.LoopConfig,
    *,
    score: str,
    progress: Callable[[int], training.Sink],
    transfer: Callable[[B], B] = jax.device_put,
    placement: training.Placement | None = None,
    tensorboard: bool = False,
    written: Callable[[training.Sink], training.Sink] = lambda sink: sink,
) -> training.FitResult:
    """Goes through the steps, or on from the latest checkpoint.

    Args:
      directory: of the run, which has begun.
      console: is told of going on.
      step: the outer step.
      state: of step 0.
      batches: `batches(step)`, those of that step and all later ones, on the host.
      validate: `metrics = validate(params)`.
      chosen: numbers of the loop.
      score: the metric that selects, more is better.
      progress: `sink = progress(step)`, which shows what follows that step.
      transfer: puts a batch on the device.
      placement: where the state lies; by default on one device.
      tensorboard: whether to write TensorBoard events too.
      written: what is to be said in records more, around each sink.

    Returns:
      How it ended.
    """
    placement = placement or training.OneDevice()
    with contextlib.ExitStack() as stack:
        checkpoints = training.Checkpoints(directory.checkpoints)
        stack.callback(checkpoints.close)
        resumed = checkpoints.quarantine_damaged(state, console.print) or 0
        if resumed:
            console.print(f"resuming from step {resumed}")
        sinks = _sinks(directory, resumed, progress, tensorboard)
        for sink in sinks:
            stack.callback(sink.close)

        def batches_from(start: int) -> Iterator[B]:
            ahead = data.prefetch(batches(start), transfer=transfer)
            return stack.enter_context(contextlib.closing(ahead))

        preemption_requested = stack.enter_context(training.preemption_requested())
        fitted = training.fit(
            step,
            state,
            batches_from,
            lambda params: validate(placement.whole(params)),
            checkpoints,
            score=score,
            num_steps=chosen.steps,
            eval_every=chosen.eval_every,
            patience=chosen.patience,
            max_skipped_steps=chosen.max_skipped_steps,
            sinks=[written(sink) for sink in sinks],
            preemption_requested=preemption_requested,
        )
    return fitted._replace(params=placement.whole(fitted.params))


def _sinks(
    directory: RunDirectory,
    resumed: int,
    progress: Callable[[int], training.Sink],
    tensorboard: bool,
) -> list[training.Sink]:
    """Where records go: of several processes those of the first alone."""
    if not training.is_coordinator():
        return []
    log = training.JsonlLog(directory.log, resume_after=resumed)
    sinks: list[training.Sink] = [log, progress(resumed)]
    if tensorboard:
        sinks.append(training.TensorBoardLog(directory.path / "tensorboard"))
    return sinks


def chosen_point(
    start: Any,
    fitted: training.FitResult,
    shares: Iterable[float],
    validate: Callable[[Any], float],
) -> training.Interpolated:
    """How far to go from where a run began to what validated best.

    Args:
      start: parameters before the first step.
      fitted: how the run ended.
      shares: of the way, to choose from.
      validate: the validation score of parameters.

    Returns:
      The best point.
    """

    def known(between: Any) -> float:
        if between is fitted.params and fitted.stopping.best is not None:
            return fitted.stopping.best  # The end was validated on these episodes.
        return validate(between)

    return training.best_interpolation(start, fitted.params, tuple(shares), known)
