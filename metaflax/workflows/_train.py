"""Meta-train, then meta-test before and after on the same episodes."""

import contextlib
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
from rich.console import Console

from metaflax import config as config_lib
from metaflax import data, evaluation, reporting, training
from metaflax.workflows._compare import compare, describe
from metaflax.workflows._evaluator import Evaluator
from metaflax.workflows._run import (
    Run,
    committed,
    initial_params,
    load_run,
    num_classes,
    report_data,
    roomy,
    training_algorithm,
)
from metaflax.workflows._run_directory import RunDirectory


def train(
    config: config_lib.Config,
    run_dir: str | Path,
    console: Console,
) -> dict[str, Any]:
    """Meta-trains, with validation and early stopping, then meta-tests.

    Started again on the same directory it goes on from the latest checkpoint.

    Args:
      config: what to do.
      run_dir: gets config, versions, log, checkpoints, results and a plot.
      console: where progress and tables go.

    Returns:
      The content of `results.json`.

    Raises:
      ValueError: for anything wrong with config or data, before the directory is
        touched; `training.DivergedError` for a loss that is not finite.
    """
    if config.algorithm.algorithm in config_lib.BASELINES:
        raise ValueError(
            f"{config.algorithm.algorithm} is a baseline without a meta-gradient; name"
            " it with `evaluate --baselines`, or train another algorithm."
        )
    run = load_run(config)
    params = initial_params(run)
    outer = _outer_loop(run, params)
    evaluator = run.test_evaluator()
    directory = RunDirectory(run_dir)
    directory.begin(config)
    report_data(run, console)
    started = time.perf_counter()
    fitted, chosen = _fit(run, outer, params, directory, console)
    console.print(
        f"best validation {next(iter(run.task.metrics))} {chosen.score:.4f} at step"
        f" {fitted.stopping.best_step} of {fitted.steps}"
        + (f", {chosen.share:g} of the way" if chosen.share != 1 else "")
        + (", stopped early." if fitted.stopped_early else ".")
    )
    selected = {
        "best_step": fitted.stopping.best_step,
        "share": chosen.share,
        "valid_score": chosen.score,
        "num_classes": num_classes(run),
    }
    directory.write_json("selected.json", selected)
    scores = {"before": evaluator(params), "after": evaluator(chosen.params)}
    results = {
        **selected,
        "steps": fitted.steps,
        "seconds": round(time.perf_counter() - started, 1),
        **compare(evaluator, scores, console, title=describe(config)),
    }
    directory.write_json("results.json", results)
    _plot(run, directory, results, console)
    console.print(f"Everything of this run is in {directory.path}.", soft_wrap=True)
    return results


class OuterLoop(NamedTuple):
    """What meta-training is made of, built before anything is written.

    Attributes:
      step: the outer step.
      state: of step 0.
      validator: scores the validation episodes.
    """

    step: Any
    state: training.TrainState
    validator: Evaluator


def _outer_loop(run: Run, params: Any) -> OuterLoop:
    chosen = run.config.training
    warmup = int(chosen.warmup * chosen.steps)

    def rate(peak: float) -> Any:
        return training.schedule(chosen.schedule, peak, chosen.steps, warmup)

    optimizer = training.outer_optimizer(
        chosen.optimizer,
        rate(chosen.learning_rate),
        head_learning_rate=(
            None
            if chosen.head_learning_rate is None
            else rate(chosen.head_learning_rate)
        ),
        inner_learning_rate=(
            None
            if chosen.hyper_learning_rate is None
            else rate(chosen.hyper_learning_rate)
        ),
        weight_decay=chosen.weight_decay,
        clip_norm=chosen.clip_norm,
    )
    state = training.create(
        params,
        optimizer,
        jax.random.key(chosen.seed, impl="rbg"),
        trains=list(chosen.trains),
    )
    step = training.make_step(
        training_algorithm(run),
        optimizer,
        tasks_by=chosen.tasks_by,
        trains=list(chosen.trains),
        dropout=chosen.dropout,
    )
    # Validation draws from a seed of its own; its classes are others anyway.
    validator = run.evaluator(run.valid, chosen.seed + 1, chosen.valid_episodes)
    return OuterLoop(step, committed(state), validator)


def _fit(
    run: Run, outer: OuterLoop, params: Any, directory: RunDirectory, console: Console
) -> tuple[training.FitResult, training.Interpolated]:
    chosen = run.config.training
    with contextlib.ExitStack() as stack:
        checkpoints = training.Checkpoints(directory.checkpoints)
        stack.callback(checkpoints.close)
        resumed = checkpoints.latest_step() or 0
        if resumed:
            console.print(f"resuming from step {resumed}")
        sinks: list[training.Sink] = [
            training.JsonlLog(directory.log, resume_after=resumed),
            reporting.ProgressSink(
                console, chosen.steps, chosen.tasks_per_step, resumed
            ),
        ]
        if chosen.tensorboard:
            sinks.append(training.TensorBoardLog(directory.path / "tensorboard"))
        for sink in sinks:
            stack.callback(sink.close)

        episodes = roomy(run, run.train)

        def tasks_from(start: int):
            return stack.enter_context(
                contextlib.closing(
                    data.prefetch(
                        episodes.stream(chosen.seed, start, chosen.tasks_per_step)
                    )
                )
            )

        score = next(iter(run.task.metrics))
        fitted = training.fit(
            outer.step,
            outer.state,
            tasks_from,
            outer.validator.mean,
            checkpoints,
            score=score,
            num_steps=chosen.steps,
            eval_every=chosen.eval_every,
            patience=chosen.patience,
            sinks=sinks,
        )

    def validate(between: Any) -> float:
        if between is fitted.params and fitted.stopping.best is not None:
            return fitted.stopping.best  # The end was validated on these episodes.
        return outer.validator.mean(between)[score]

    return fitted, training.best_interpolation(
        params, fitted.params, chosen.interpolate, validate
    )


def _plot(
    run: Run, directory: RunDirectory, results: dict[str, Any], console: Console
) -> None:
    metric = next(iter(run.task.metrics))
    intervals = results["intervals"]
    try:
        reporting.plot_run(
            directory.path / "result.png",
            directory.log,
            metric,
            evaluation.Interval(**intervals["before"][metric]),
            evaluation.Interval(**intervals["after"][metric]),
            title=describe(run.config),
        )
    except ValueError as error:  # Without matplotlib the run is still whole.
        console.print(f"no plot was made: {error}", markup=False)
