"""Meta-train, then meta-test before and after on the same episodes."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
from rich.console import Console

from metaflax import (
    base,
    evaluation,
    meta_gradient,
    profiling,
    reporting,
    training,
)
from metaflax import config as config_lib
from metaflax.workflows.meta_training._device_placement import placement_for
from metaflax.workflows.meta_training._loop import (
    chosen_point,
    fit_within,
    outer_optimizer,
)
from metaflax.workflows.meta_training._step_costs import StepCosts
from metaflax.workflows.runs._episodes import Episodes
from metaflax.workflows.runs._evaluator import Evaluator
from metaflax.workflows.runs._paired_comparison import compare, describe
from metaflax.workflows.runs._run import (
    Run,
    initial_params,
    load_run,
    num_classes,
    refuse_baseline,
    report_data,
    roomy,
    training_algorithm,
)
from metaflax.workflows.runs._run_directory import RunDirectory
from metaflax.workflows.runs._streamed_episodes import FromDisk
from metaflax.workflows.runs._text_evaluator import TextEvaluator

# Where a run that ended for want of a number says at which step.
DIVERGED = "diverged.json"


def train(
    config: config_lib.Config,
    run_dir: str | Path,
    console: Console,
    *,
    profile: bool = False,
    param_shards: int | None = None,
) -> dict[str, Any]:
    """Meta-trains, with validation and early stopping, then meta-tests.

    Started again on the same directory it goes on from the latest checkpoint.

    Args:
      config: what to do.
      run_dir: gets config, versions, what steps cost, log, checkpoints, results and
        a plot.
      console: where progress and tables go.
      profile: whether to say first where the time of one step goes; the steps that
        this takes are thrown away, so that it changes no result.
      param_shards: how many devices share a copy of the parameters, where all devices
        share the tasks of a step; None for one device alone. Of several processes the
        first alone writes.

    Returns:
      The content of `results.json`.

    Raises:
      ValueError: for anything wrong with config or data, and for steps that do not
        fit the device, before the directory is touched; `training.DivergedError` for
        a loss that is not finite.
    """
    refuse_baseline(config)
    run = load_run(config)
    directory = RunDirectory(run_dir)
    directory.check(config)
    if profile and directory.finished:
        raise ValueError(
            f"{directory.path} holds a finished run, which has no step to profile; name"
            " another --run-dir."
        )
    placement = placement_for(config.training.tasks_per_step, param_shards, console)
    if profile and placement.mesh is not None:
        raise ValueError("a profile is of one device; set devices to one.")
    params = initial_params(run)
    costs = StepCosts(directory, console)
    outer = outer_loop(run, params, costs, placement)
    evaluator = run.test_evaluator()
    report_data(run, console)
    if not directory.finished:
        with _own_names() if profile else contextlib.nullcontext():
            outer.first_step()  # Refused here, if at all: nothing is written yet.
    directory.begin(config)
    costs.write()
    if profile:
        _profile(outer, directory, console)
    started = time.perf_counter()
    fitted, chosen, selected = _select(run, outer, params, directory, console)
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


def meta_train(
    config: config_lib.Config,
    run_dir: str | Path,
    console: Console,
    *,
    progress: Callable[[int], training.Sink] | None = None,
) -> dict[str, Any]:
    """Meta-trains as `train` does, on one device, and draws no episode of meta-test.

    Args:
      config: what to do.
      run_dir: gets config, versions, what steps cost, log and checkpoints.
      console: where progress goes.
      progress: `sink = progress(step)`, which gets the records that follow that step.

    Returns:
      The content of `selected.json`: which step validated best, and its score.

    Raises:
      ValueError: as `train` does.
    """
    refuse_baseline(config)
    run = load_run(config)
    directory = RunDirectory(run_dir)
    directory.check(config)
    params = initial_params(run)
    costs = StepCosts(directory, console)
    outer = outer_loop(run, params, costs, training.OneDevice())
    report_data(run, console)
    if not directory.finished:
        outer.first_step()
    directory.begin(config)
    costs.write()
    return _select(run, outer, params, directory, console, progress)[2]


def _select(
    run: Run,
    outer: "OuterLoop",
    params: Any,
    directory: RunDirectory,
    console: Console,
    progress: Callable[[int], training.Sink] | None = None,
) -> tuple[training.FitResult, training.Interpolated, dict[str, Any]]:
    """Trains, and keeps which parameters validated best."""
    fitted, chosen = _fit(run, outer, params, directory, console, progress)
    console.print(
        f"best validation {run.task.scores[0]} {chosen.score:.4f} at step"
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
    return fitted, chosen, selected


class OuterLoop(NamedTuple):
    """What meta-training is made of, built before anything is written.

    Attributes:
      step: the outer step.
      state: of step 0.
      episodes: of meta-training.
      settings: of the outer loop.
      validator: scores the validation episodes.
      placement: where the state and the tasks of a step lie.
    """

    step: training.FittedStep
    state: training.TrainState
    episodes: Episodes | FromDisk
    settings: config_lib.TrainingConfig
    validator: Evaluator | TextEvaluator
    placement: training.Placement

    def batches(self, start: int = 0) -> Iterator[base.Task]:
        """The batches of step `start` and all later ones, on the host.

        Of several processes each has the tasks of its own devices.
        """
        chosen = self.settings
        own = self.placement.own_tasks(chosen.tasks_per_step)
        return self.episodes.stream(chosen.seed, start, chosen.tasks_per_step, own)

    def transfer(self, tasks: base.Task) -> base.Task:
        """A batch on the devices."""
        return self.placement.spread(tasks, self.settings.tasks_per_step)

    def first_step(self) -> training.CompiledStep:
        """The step, compiled for the first batch."""
        return self.step.compiled(self.state, self.transfer(next(self.batches())))


def outer_loop(
    run: Run,
    params: Any,
    on_compiled: Callable[[training.CompiledStep], None],
    placement: training.Placement,
) -> OuterLoop:
    """What meta-training starts with; `on_compiled` is told of each step."""
    chosen = run.config.training
    optimizer = outer_optimizer(chosen, chosen.clip_norm)
    state = training.create(
        params,
        optimizer,
        jax.random.key(chosen.seed, impl="rbg"),
        trains=list(chosen.trains),
    )
    algorithm = training_algorithm(run)

    def make_step(task_loop: meta_gradient.TaskLoop) -> Any:
        return training.make_step(
            algorithm,
            optimizer,
            task_loop=task_loop,
            trains=list(chosen.trains),
            dropout=chosen.dropout,
            skips=chosen.max_skipped_steps > 0,
            mesh=placement.mesh,
        )

    step = training.FittedStep(
        make_step,
        chosen.task_loop,
        mesh=placement.mesh,
        free_memory=profiling.free_memory,
        on_compiled=on_compiled,
    )
    # Validation draws from a seed of its own; its classes are others anyway.
    validator = run.evaluator(run.valid, chosen.seed + 1, chosen.valid_episodes)
    episodes = roomy(run, run.train)
    state = placement.place(state)
    return OuterLoop(step, state, episodes, chosen, validator, placement)


@contextlib.contextmanager
def _own_names() -> Iterator[None]:
    """Compiles anew where only names differ.

    The compilation cache would give the program of another version of the code, whose
    operations a profile would file under that version's names.
    """
    option = "jax_compilation_cache_include_metadata_in_key"
    before = jax.config.values[option]
    jax.config.update(option, True)
    try:
        yield
    finally:
        jax.config.update(option, before)


def _profile(outer: OuterLoop, directory: RunDirectory, console: Console) -> None:
    """Prints and stores where the time of one step goes."""
    step = outer.first_step().run
    try:
        found = profiling.profile(step, outer.state, outer.batches(), directory.profile)
    except Exception as error:  # The profiler's formats change; training goes on.
        console.print(f"No profile was made: {error}", markup=False)
        return
    directory.write_json("profile.json", found.record())
    for table in reporting.profile_tables(found):
        console.print(table)
    console.print(reporting.host_line(found), soft_wrap=True)
    console.print(
        f"The trace of {found.steps} steps, for TensorBoard or https://ui.perfetto.dev,"
        f" is in {found.trace.parent}.",
        soft_wrap=True,
    )


def _fit(
    run: Run,
    outer: OuterLoop,
    params: Any,
    directory: RunDirectory,
    console: Console,
    progress: Callable[[int], training.Sink] | None,
) -> tuple[training.FitResult, training.Interpolated]:
    chosen, score = run.config.training, run.task.scores[0]

    def bar(resumed: int) -> training.Sink:
        return reporting.ProgressSink(
            console, chosen.steps, chosen.tasks_per_step, resumed
        )

    try:
        fitted = fit_within(
            directory,
            console,
            outer.step,
            outer.state,
            outer.batches,
            outer.validator.mean,
            chosen,
            score=score,
            progress=progress or bar,
            transfer=outer.transfer,
            placement=outer.placement,
            tensorboard=chosen.tensorboard,
        )
    except training.DivergedError as error:
        directory.write_json(DIVERGED, {"step": error.step})
        raise training.DivergedError(
            f"{error} `metaflax replay {directory.path}` looks closer.", error.step
        ) from error
    return fitted, chosen_point(
        params,
        fitted,
        chosen.interpolate,
        lambda between: outer.validator.mean(between)[score],
    )


def _plot(
    run: Run, directory: RunDirectory, results: dict[str, Any], console: Console
) -> None:
    metric = run.task.scores[0]
    intervals = results["intervals"]
    if not training.is_coordinator():
        return
    try:
        reporting.plot_run(
            directory.path / "result.png",
            directory.log,
            metric,
            evaluation.Interval(**intervals["before"][metric]),
            evaluation.Interval(**intervals["after"][metric]),
            title=describe(run.config),
        )
    except Exception as error:  # The results are complete without it.
        console.print(f"No plot was made: {error}", markup=False)
