"""Outer loop of some members: the trainer that all commands share."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
from rich.console import Console

from metaflax import _meta_gradient, _registry, base, data, training
from metaflax import config as config_lib
from metaflax.profiling._memory import free_memory
from metaflax.training._fit import FitResult
from metaflax.training._fitted_step import CompiledStep, FittedStep
from metaflax.training._interpolation import best_interpolation
from metaflax.training._log import LOG_SINKS
from metaflax.training._placement import OneDevice, Placement, spread_over
from metaflax.training._preemption import preemption_requested
from metaflax.training._processes import is_coordinator
from metaflax.training._state import TrainState
from metaflax.workflows.meta_training._composition import Composition
from metaflax.workflows.meta_training._step_costs import StepCosts
from metaflax.workflows.runs._run import commit_to_device
from metaflax.workflows.runs._run_directory import RunDirectory


class Draw(NamedTuple):
    """Batch of a step.

    Attributes:
      member: name of the member that the step trains.
      tasks: the batch.
    """

    member: str
    tasks: base.Task


class Outcome(NamedTuple):
    """Result of training.

    Attributes:
      start: parameters before the first step.
      params: the parameters that validated best.
      best_step: step of these parameters.
      share: share of the interpolation from `start` to the parameters of `best_step`.
      score: their validation score.
      steps: number of outer steps taken.
      stopped_early: whether patience ended the run.
      started: value of `time.perf_counter` when training started.
    """

    start: Any
    params: Any
    best_step: int
    share: float
    score: float
    steps: int
    stopped_early: bool
    started: float

    @property
    def selected(self) -> dict[str, Any]:
        """Step, share and score of the parameters, for `selected.json` and results."""
        return {
            "best_step": self.best_step,
            "share": self.share,
            "valid_score": self.score,
        }

    @property
    def seconds(self) -> float:
        """Seconds since training started."""
        return round(time.perf_counter() - self.started, 1)


class OuterLoop:
    """Outer loop of members; building it writes nothing.

    Args:
      composition: the members and how they share parameters and steps.
      settings: settings of the outer loop.
      placement: placement of state and tasks on devices.
      costs: callbacks by member, called with each compiled step.

    Attributes:
      start: parameters before the first step.
      state: state of step 0, on the devices.
    """

    def __init__(
        self,
        composition: Composition,
        settings: config_lib.TrainingConfig,
        placement: Placement,
        costs: Mapping[str, Callable[[CompiledStep], None]] | None = None,
    ):
        self._composition, self._settings = composition, settings
        self._placement, self._costs = placement, costs or {}
        self._steps = {name: self._fitted_step(name) for name in composition.parts}
        self.start = commit_to_device(composition.params)
        first = next(iter(composition.parts.values()))
        state = training.create(
            self.start,
            first.optimizer,
            jax.random.key(settings.seed, impl="rbg"),
            trains=list(settings.trains),
        )
        self.state = placement.place(state)

    def _fitted_step(self, name: str) -> FittedStep:
        part, settings = self._composition.parts[name], self._settings
        mesh = self._placement.mesh

        def make_step(task_loop: _meta_gradient.TaskLoop) -> Any:
            return training.make_step(
                part.algorithm,
                part.optimizer,
                task_loop=task_loop,
                trains=part.trainable,
                dropout=settings.dropout,
                skips=settings.max_skipped_steps > 0,
                mesh=mesh,
            )

        return FittedStep(
            make_step,
            self._composition.members[name].task_loop,
            mesh=mesh,
            free_memory=free_memory,
            on_compiled=self._costs.get(name, lambda step: None),
            max_shapes=part.max_shapes,
        )

    def batches(self, start: int = 0) -> Iterator[Draw]:
        """Draws the batches of step `start` and all later steps, on the host."""
        for step in range(start, self._settings.steps):
            # Batches depend on the step alone: a resumed run draws the same ones.
            yield self.draw(self._composition.member_of(step), step)

    def draw(self, name: str, step: int) -> Draw:
        """Draws a member's batch of a step, or the tasks of this process's devices."""
        member = self._composition.members[name]
        local = self._placement.local_tasks(member.num_tasks)
        return Draw(name, member.batch(step, local))

    def transfer(self, draw: Draw) -> Draw:
        """Puts a batch on the devices."""
        num_tasks = self._composition.members[draw.member].num_tasks
        return draw._replace(tasks=self._placement.spread(draw.tasks, num_tasks))

    def compiled(self, name: str) -> CompiledStep:
        """Returns a member's step, compiled for its first batch."""
        tasks = self.transfer(self.draw(name, 0)).tasks
        return self._steps[name].compiled(self.state, tasks)

    def step(self, state: TrainState, draw: Draw) -> tuple[TrainState, dict[str, Any]]:
        """Takes the outer step of the member that was drawn."""
        return self._steps[draw.member](state, draw.tasks)

    def fit(
        self,
        directory: RunDirectory,
        console: Console,
        progress: Callable[[int], training.Sink],
    ) -> Outcome:
        """Trains, from the latest checkpoint if there is one, and selects parameters.

        Args:
          directory: directory of the run, after `begin`.
          console: console for messages.
          progress: `sink = progress(step)`, a sink for the steps after `step`.

        Raises:
          DivergedError: for a loss that is not finite.
        """
        started, settings = time.perf_counter(), self._settings
        fitted = self._fit(directory, console, progress)

        def validate(params: Any) -> float:
            if params is fitted.params and fitted.stopping.best is not None:
                return fitted.stopping.best  # The run has validated these parameters.
            return self._validate(params)[self._composition.score]

        best = best_interpolation(
            self.start, fitted.params, settings.interpolate, validate
        )
        return Outcome(
            self.start,
            best.params,
            fitted.stopping.best_step,
            best.share,
            best.score,
            fitted.steps,
            fitted.stopped_early,
            started,
        )

    def _fit(
        self,
        directory: RunDirectory,
        console: Console,
        progress: Callable[[int], training.Sink],
    ) -> FitResult:
        settings, whole = self._settings, self._placement.whole
        with contextlib.ExitStack() as stack:
            checkpoints = training.Checkpoints(directory.checkpoints)
            stack.callback(checkpoints.close)
            latest = checkpoints.quarantine_damaged(self.state, console.print)
            if latest:
                console.print(f"resuming from step {latest}")
            sinks = _sinks(directory, latest, progress, settings.log_sinks)
            for sink in sinks:
                stack.callback(sink.close)

            def batches_from(start: int) -> Iterator[Draw]:
                ahead = data.prefetch(self.batches(start), transfer=self.transfer)
                return stack.enter_context(contextlib.closing(ahead))

            fitted = training.fit(
                self.step,
                self.state,
                batches_from,
                lambda params: self._validate(whole(params)),
                checkpoints,
                score=self._composition.score,
                num_steps=settings.steps,
                eval_every=settings.eval_every,
                patience=settings.patience,
                max_skipped_steps=settings.max_skipped_steps,
                sinks=[_Labelled(sink, self._composition.label) for sink in sinks],
                preemption_requested=stack.enter_context(preemption_requested()),
            )
        return fitted._replace(params=whole(fitted.params))

    def _validate(self, params: Any) -> dict[str, float]:
        return self._composition.validate(params)


def train_members(
    composition: Composition,
    config: Any,
    settings: config_lib.TrainingConfig,
    directory: RunDirectory,
    console: Console,
    *,
    placement: Placement,
    progress: Callable[[int], training.Sink],
    before_fit: Callable[[OuterLoop], None] = lambda outer: None,
) -> Outcome:
    """Trains members of a run, or resumes it, and selects the best parameters.

    Args:
      composition: the members and how they share parameters and steps.
      config: config of the run.
      settings: settings of the outer loop.
      directory: directory of the run for config, costs of steps, log and checkpoints;
        the caller has reserved it.
      console: console for messages.
      placement: placement on devices.
      progress: `sink = progress(step)`, a sink for the steps after `step`.
      before_fit: called with the outer loop before its first step.

    Returns:
      The outcome; the caller stores its selected parameters.

    Raises:
      ValueError: if the data changed or a step does not fit the devices, before
        anything is written.
      DivergedError: for a loss that is not finite.
    """
    for member in composition.members.values():
        member.check_data()
    costs = {
        name: StepCosts(member.directory, console, name)
        for name, member in composition.members.items()
    }
    outer = OuterLoop(composition, settings, placement, costs)
    if not directory.finished:
        for name in composition.parts:
            outer.compiled(name)  # Raises if the step does not fit.
    directory.lock()
    if all(m.directory.path != directory.path for m in composition.members.values()):
        directory.begin(config)  # The directory of a mixture, not those of its members.
    for name, member in composition.members.items():
        member.begin()
        costs[name].write()
    before_fit(outer)
    return outer.fit(directory, console, progress)


def placement_for(
    num_tasks: int, param_shards: int | None, console: Console
) -> Placement:
    """Returns the placement of a run: on devices that share the tasks, or on one.

    Args:
      num_tasks: number of tasks per step, or a common divisor of these numbers.
      param_shards: number of devices that share a copy of the parameters; None to use
        one device.
      console: console for the number of devices, if there are several.

    Raises:
      ValueError: if the devices cannot share the tasks or the parameters.
    """
    if param_shards is None:
        return OneDevice()
    placement = spread_over(num_tasks, param_shards)
    if placement.mesh is not None:
        console.print(
            f"{placement.mesh.size} devices share the tasks of a step, and groups of"
            f" {param_shards} the parameters.",
            soft_wrap=True,
        )
    return placement


class _Labelled:
    """Sink that adds the member of the step to each record."""

    def __init__(
        self,
        sink: training.Sink,
        label: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    ):
        self._sink, self._label = sink, label

    def write(self, record: Mapping[str, Any]) -> None:
        self._sink.write(self._label(record))

    def close(self) -> None:
        self._sink.close()


def _sinks(
    directory: RunDirectory,
    latest: int | None,
    progress: Callable[[int], training.Sink],
    names: Sequence[str],
) -> list[training.Sink]:
    """Returns the log sinks of a run; empty except in the coordinator.

    Without a checkpoint (`latest` is None), earlier records are removed from the log.
    """
    if not is_coordinator():
        return []
    kept = -1 if latest is None else latest
    log = training.JsonlLog(directory.log, resume_after=kept)
    make = (_registry.resolve("log sink", LOG_SINKS, name) for name in names)
    return [log, progress(latest or 0), *(sink(directory.path) for sink in make)]
