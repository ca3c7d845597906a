"""Meta-training on one task type, and meta-testing before and after it."""

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
from rich.console import Console

from metaflax import config as config_lib
from metaflax import evaluation, profiling, training
from metaflax.config._factories import with_template
from metaflax.reporting._costs import host_line, profile_tables
from metaflax.reporting._plots import plot_run
from metaflax.reporting._progress import ProgressSink
from metaflax.training._placement import OneDevice, Placement
from metaflax.training._processes import is_coordinator
from metaflax.workflows.meta_training._composition import single
from metaflax.workflows.meta_training._members import EpisodicMember
from metaflax.workflows.meta_training._outer_loop import (
    Outcome,
    OuterLoop,
    placement_for,
    train_members,
)
from metaflax.workflows.runs._console import console_or_quiet
from metaflax.workflows.runs._episodes import all_inputs
from metaflax.workflows.runs._pair_encoding import with_pair_encoding
from metaflax.workflows.runs._paired_comparison import describe
from metaflax.workflows.runs._run import load_run, num_classes, refuse_baseline
from metaflax.workflows.runs._run_directory import RunDirectory

# File of a run that ended with a non-finite loss, with the number of that step.
DIVERGED = "diverged.json"


def train(
    config: config_lib.Config,
    run_dir: str | Path,
    console: Console | None = None,
    *,
    profile: bool = False,
    param_shards: int | None = None,
) -> dict[str, Any]:
    """Meta-trains, with validation and early stopping, then meta-tests.

    Started again on the same directory it resumes from the latest checkpoint.

    Args:
      config: config of the run.
      run_dir: directory for config, versions, costs of steps, log, checkpoints, results
        and a plot.
      console: console for progress and tables; None to print nothing.
      profile: whether to profile a step first; the profiled steps are discarded, so
        that results do not change.
      param_shards: number of devices that share a copy of the parameters, with the
        tasks of a step sharded over all devices; None to use one device. Of several
        processes only the coordinator writes.

    Returns:
      The content of `results.json`.

    Raises:
      ValueError: for an invalid config or data, and for steps that do not fit the
        device, before anything is written; `training.DivergedError` for a loss that
        is not finite.

    Examples:
      >>> import tempfile
      >>> from metaflax import config, workflows
      >>> settings = config.Config(
      ...     data=config.DataConfig(path="pets.csv"),
      ...     algorithm=config.AlgorithmConfig(name="mamml"),
      ... )
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     workflows.train(settings, folder)
      Traceback (most recent call last):
        ...
      ValueError: unknown algorithm 'mamml'; known: maml, fomaml, reptile, anil, ...
    """
    console = console_or_quiet(console)
    directory = RunDirectory(run_dir)
    with directory.reserved(_following_model(config, directory)) as config:
        return _train(config, directory, console, profile, param_shards)


def _train(
    config: config_lib.Config,
    directory: RunDirectory,
    console: Console,
    profile: bool,
    param_shards: int | None,
) -> dict[str, Any]:
    member = _load_member(config, directory)
    if profile and directory.finished:
        raise ValueError(
            f"{directory.path} holds a finished run, which has no step to profile; name"
            " another --run-dir."
        )
    placement = placement_for(member.num_tasks, param_shards, console)
    if profile and placement.mesh is not None:
        raise ValueError(
            "a profile can only be made of one device; set devices to one."
        )
    _ = member.evaluator  # Raises before anything is written.
    member.report(console)

    def profile_step(outer: OuterLoop) -> None:
        if profile:
            _profile(outer, member, console)

    with _fresh_metadata() if profile else contextlib.nullcontext():
        outcome = _train_member(member, console, placement, before_fit=profile_step)
    selected = _select(member, outcome, console)
    comparison = member.test(outcome.start, outcome.params, console)
    results = {
        **selected,
        "steps": outcome.steps,
        "seconds": outcome.seconds,
        **comparison,
    }
    directory.write_json("results.json", results)
    _plot(member, results, console)
    console.print(f"Everything of this run is in {directory.path}.", soft_wrap=True)
    return results


def meta_train(
    config: config_lib.Config,
    run_dir: str | Path,
    console: Console | None = None,
    *,
    progress: Callable[[int], training.Sink] | None = None,
) -> dict[str, Any]:
    """Meta-trains as `train` does, on one device, and draws no meta-test episode.

    Args:
      config: config of the run.
      run_dir: directory for config, versions, costs of steps, log and checkpoints.
      console: console for progress; None to print nothing.
      progress: `sink = progress(step)`, a sink for the records after `step` (default: a
        progress bar).

    Returns:
      The content of `selected.json`: which step validated best, and its score.

    Raises:
      ValueError: as for `train`.

    Examples:
      >>> import tempfile
      >>> from metaflax import config, workflows
      >>> settings = config.Config(data=config.DataConfig(path="absent.csv"))
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     workflows.meta_train(settings, folder)
      Traceback (most recent call last):
        ...
      ValueError: absent.csv: no such file; check the path.
    """
    console, directory = console_or_quiet(console), RunDirectory(run_dir)
    with directory.reserved(_following_model(config, directory)) as config:
        member = _load_member(config, directory)
        member.report(console)
        outcome = _train_member(member, console, OneDevice(), progress=progress)
        return _select(member, outcome, console)


def _following_model(
    config: config_lib.Config, directory: RunDirectory
) -> config_lib.Config:
    """Sets the settings that depend on the model; an existing run has recorded them."""
    config = with_template(config)
    if directory.begun:
        return config
    return with_pair_encoding(config, lambda task: all_inputs(config.data, task))


def _load_member(config: config_lib.Config, directory: RunDirectory) -> EpisodicMember:
    refuse_baseline(config)
    return EpisodicMember(load_run(config), directory)


def _train_member(
    member: EpisodicMember,
    console: Console,
    placement: Placement,
    *,
    progress: Callable[[int], training.Sink] | None = None,
    before_fit: Callable[[OuterLoop], None] = lambda outer: None,
) -> Outcome:
    config, directory = member.run.config, member.directory
    settings = config.training
    try:
        return train_members(
            single(member, settings),
            config,
            settings,
            directory,
            console,
            placement=placement,
            progress=progress
            or functools.partial(
                ProgressSink,
                console,
                settings.steps,
                settings.tasks_per_step,
            ),
            before_fit=before_fit,
        )
    except training.DivergedError as error:
        directory.write_json(DIVERGED, {"step": error.step})
        raise training.DivergedError(
            f"{error} `metaflax replay {directory.path}` shows the episodes of this"
            " step.",
            error.step,
        ) from error


def _select(
    member: EpisodicMember, outcome: Outcome, console: Console
) -> dict[str, Any]:
    """Prints and stores the step of the parameters that validated best."""
    share = f", {outcome.share:g} of the way" if outcome.share != 1 else ""
    console.print(
        f"Best validation {member.score} {outcome.score:.4f} at step"
        f" {outcome.best_step} of {outcome.steps}{share}"
        f"{', stopped early' if outcome.stopped_early else ''}."
    )
    selected = {**outcome.selected, "num_classes": num_classes(member.run)}
    member.directory.write_json("selected.json", selected)
    return selected


@contextlib.contextmanager
def _fresh_metadata() -> Iterator[None]:
    """Recompiles programs of which only the names of operations changed.

    The compilation cache would return the program of another version of the code, and
    a profile would list its operations under that version's names.
    """
    option = "jax_compilation_cache_include_metadata_in_key"
    before = jax.config.values[option]
    jax.config.update(option, True)
    try:
        yield
    finally:
        jax.config.update(option, before)


def _profile(outer: OuterLoop, member: EpisodicMember, console: Console) -> None:
    """Prints and stores the profile of one step."""
    step, directory = outer.compiled(member.name).run, member.directory
    batches = map(member.batch, itertools.count())
    try:
        result = profiling.profile(step, outer.state, batches, directory.profile)
    except Exception as error:  # The profiler's formats change; training goes on.
        console.print(f"No profile was made: {error}", markup=False)
        return
    directory.write_json("profile.json", result.record())
    for table in profile_tables(result):
        console.print(table)
    console.print(host_line(result), soft_wrap=True)
    console.print(
        f"The trace of {result.steps} steps, for TensorBoard or"
        f" https://ui.perfetto.dev, is in {result.trace.parent}.",
        soft_wrap=True,
    )


def _plot(member: EpisodicMember, results: dict[str, Any], console: Console) -> None:
    if not is_coordinator():
        return
    directory, metric, intervals = member.directory, member.score, results["intervals"]
    try:
        plot_run(
            directory.path / "result.png",
            directory.log,
            metric,
            evaluation.Interval(**intervals["before"][metric]),
            evaluation.Interval(**intervals["after"][metric]),
            title=describe(member.run.config),
        )
    except Exception as error:  # The results are complete without it.
        console.print(f"No plot was made: {error}", markup=False)
