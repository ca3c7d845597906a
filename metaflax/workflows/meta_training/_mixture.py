"""Meta-train one encoder on many kinds of tasks at once."""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from rich.console import Console

from metaflax import base, data, profiling, reporting, training
from metaflax import config as config_lib
from metaflax.workflows.inference._export import save_encoder
from metaflax.workflows.meta_training._device_placement import placement_for
from metaflax.workflows.meta_training._loop import (
    chosen_point,
    fit_within,
    outer_optimizer,
)
from metaflax.workflows.meta_training._members import Member, load_members
from metaflax.workflows.meta_training._pretrain import MODEL
from metaflax.workflows.meta_training._step_costs import StepCosts
from metaflax.workflows.runs._encoder_model import load_model
from metaflax.workflows.runs._run import committed
from metaflax.workflows.runs._run_directory import RunDirectory

# What model selection follows: the mean over members of the score of each.
SCORE = "score"


class Draw(NamedTuple):
    """The batch of a step.

    Attributes:
      member: whose step it is.
      tasks: its batch.
    """

    member: str
    tasks: base.Task


def mix(
    config: config_lib.MixtureConfig,
    run_dir: str | Path,
    console: Console,
    *,
    param_shards: int | None = None,
) -> dict[str, Any]:
    """Meta-trains on a mixture, with validation, then meta-tests each member.

    Each step is one member's, and changes the encoder and what is that member's own.
    Model selection follows the mean over members of each one's first score (accuracy,
    F1, correlation, or the share of masked words that are said), which ranks
    checkpoints as the mean gain over before training does. Started again on the same
    directory it goes on from the latest checkpoint.

    Args:
      config: what to do.
      run_dir: gets config, versions, log, checkpoints and results; in its folder
        `model` the encoder that scored best, for any `--model`; and in `members/NAME`
        what each member's own command leaves, for `evaluate`, `adapt --run` and
        `finetune --run`, or in the folder `model` there for `pretrain --model`.
      console: where progress and tables go.
      param_shards: how many devices share a copy of the parameters, where all devices
        share the tasks of a step; None for one device alone.

    Returns:
      The content of `results.json`.

    Raises:
      ValueError: for anything wrong with config or data, and for steps that do not
        fit the device, before the directory is touched; `training.DivergedError` for
        a loss that is not finite.
    """
    config_lib.check_mixture(config)
    directory = RunDirectory(run_dir, config_lib.MixtureConfig)
    directory.check(config)
    model = load_model(config.model)
    members = load_members(config, model, directory)
    sizes = {name: member.size for name, member in members.items()}
    num_tasks = math.gcd(*(member.num_tasks for member in members.values()))
    placement = placement_for(num_tasks, param_shards, console)
    sampling = config_lib.sampling(config, sizes)
    outer = _outer_loop(config, members, sampling, placement, console)
    _report(outer, console)
    if not directory.finished:
        outer.first_steps()  # Refused here, if at all: nothing is written yet.
    directory.begin(config)
    for name, member in members.items():
        member.begin()
        outer.costs[name].write()
    started = time.perf_counter()
    fitted, chosen = _fit(config, outer, directory, console)
    best_step = fitted.stopping.best_step
    selected = {
        "best_step": best_step,
        "share": chosen.share,
        "valid_score": chosen.score,
    }
    directory.write_json("selected.json", selected)
    target = directory.path / MODEL
    # A run that came to its end before has written it.
    if training.is_coordinator() and not target.exists():
        save_encoder(target, model, chosen.params["encoder"])
    results = {
        **selected,
        "selected_by": [f"valid_{n}_{m.score}" for n, m in members.items()],
        "steps": fitted.steps,
        "steps_of": outer.steps_of(fitted.steps),
        "seconds": round(time.perf_counter() - started, 1),
        "members": _tested(outer, chosen.params, best_step, console),
    }
    directory.write_json("results.json", results)
    console.print(
        f"mean validation score {chosen.score:.4f} at step {best_step} of"
        f" {fitted.steps}; the encoder is in {target}.",
        soft_wrap=True,
    )
    return results


class OuterLoop(NamedTuple):
    """What meta-training is made of, built before anything is written.

    Attributes:
      members: by name.
      sampling: whose each step is.
      seed: of the run.
      params: where they begin, those of all members.
      state: of step 0.
      steps: the outer step of each member that is trained.
      costs: told of what they cost.
      placement: where the state and the tasks of a step lie.
    """

    members: Mapping[str, Member]
    sampling: data.Mixture
    seed: int
    params: Any
    state: training.TrainState
    steps: Mapping[str, training.FittedStep]
    costs: Mapping[str, StepCosts]
    placement: training.Placement

    def member_of(self, step: int) -> str:
        """Whose step `step` is, counted from 0."""
        return self.sampling.member(self.seed, step)

    def steps_of(self, num_steps: int) -> dict[str, int]:
        """How many of the first steps are each member's."""
        counts = Counter(map(self.member_of, range(num_steps)))
        return {name: counts[name] for name in self.members}

    def batches(self, start: int) -> Iterator[Draw]:
        """What steps `start` and all later ones train on, on the host."""
        for step in range(start, self.sampling.num_steps):
            name = self.member_of(step)
            # Numbered by the step, a member's tasks are the same wherever a run began.
            yield self._draw(name, step)

    def _draw(self, name: str, step: int) -> Draw:
        member = self.members[name]
        share = self.placement.own_tasks(member.num_tasks)
        return Draw(name, next(member.stream(step, share)))

    def transfer(self, draw: Draw) -> Draw:
        """A batch on the devices."""
        num_tasks = self.members[draw.member].num_tasks
        return draw._replace(tasks=self.placement.spread(draw.tasks, num_tasks))

    def first_steps(self) -> None:
        """Compiles each member's step for a first batch."""
        for name, step in self.steps.items():
            step.compiled(self.state, self.transfer(self._draw(name, 0)).tasks)

    def step(
        self, state: training.TrainState, draw: Draw
    ) -> tuple[training.TrainState, dict[str, Any]]:
        """Takes the step of the member that was drawn."""
        return self.steps[draw.member](state, draw.tasks)

    def validate(self, params: Any) -> dict[str, float]:
        """Every member's metrics, as `NAME_METRIC`, and the mean score."""
        found, scores = {}, []
        for name, member in self.members.items():
            metrics = member.validate(training.member_params(params, name))
            found |= {f"{name}_{metric}": x for metric, x in metrics.items()}
            scores.append(metrics[member.score])
        return {SCORE: float(np.mean(scores)), **found}


def _outer_loop(
    config: config_lib.MixtureConfig,
    members: Mapping[str, Member],
    sampling: data.Mixture,
    placement: training.Placement,
    console: Console,
) -> OuterLoop:
    chosen = config.training
    start = training.shared_params({n: m.params for n, m in members.items()})
    start = committed(start)
    optimizer = outer_optimizer(chosen, clip_norm=None)
    names = list(members)

    def optimizer_of(name: str) -> Any:
        return training.mixture_optimizer(optimizer, names, name, chosen.clip_norm)

    def step_of(name: str) -> training.FittedStep:
        member, share = members[name], config.members[name].share
        algorithm = training.for_member(member.algorithm, name, share.loss_weight)
        return training.FittedStep(
            lambda task_loop: training.make_step(
                algorithm,
                optimizer_of(name),
                task_loop=task_loop,
                trains=training.member_paths(name, list(chosen.trains)),
                dropout=chosen.dropout,
                skips=chosen.max_skipped_steps > 0,
                mesh=placement.mesh,
            ),
            member.task_loop,
            mesh=placement.mesh,
            free_memory=profiling.free_memory,
            on_compiled=costs[name],
            max_shapes=member.num_shapes,
        )

    costs = {n: StepCosts(m.directory, console, n) for n, m in members.items()}
    state = training.create(
        start,
        optimizer_of(names[0]),
        jax.random.key(chosen.seed, impl="rbg"),
        trains=list(chosen.trains),
    )
    return OuterLoop(
        members,
        sampling,
        chosen.seed,
        start,
        placement.place(state),
        {name: step_of(name) for name in names if sampling.weights[name]},
        costs,
        placement,
    )


def _report(outer: OuterLoop, console: Console) -> None:
    """Says what each member is, and how much of the run it gets."""
    shares = outer.sampling.shares()
    for name, member in outer.members.items():
        console.print(f"{name}, about {100 * shares[name]:.1f} % of the steps:")
        member.report(console)


def _fit(
    config: config_lib.MixtureConfig,
    outer: OuterLoop,
    directory: RunDirectory,
    console: Console,
) -> tuple[training.FitResult, training.Interpolated]:
    chosen = config.training

    def progress(resumed: int) -> training.Sink:
        # The members' batches differ in what they hold, so that steps are counted.
        return reporting.ProgressSink(console, chosen.steps, 1, resumed, unit="steps")

    try:
        fitted = fit_within(
            directory,
            console,
            outer.step,
            outer.state,
            outer.batches,
            outer.validate,
            chosen,
            score=SCORE,
            progress=progress,
            transfer=outer.transfer,
            placement=outer.placement,
            tensorboard=chosen.tensorboard,
            written=lambda sink: _Attributed(sink, outer.member_of),
        )
    except training.DivergedError as error:
        name = outer.member_of(error.step - 1)
        raise training.DivergedError(f"member {name!r}: {error}", error.step) from error
    return fitted, chosen_point(
        outer.params,
        fitted,
        chosen.interpolate,
        lambda between: outer.validate(between)[SCORE],
    )


class _Attributed:
    """A sink whose records of steps say whose they are."""

    def __init__(self, sink: training.Sink, member_of: Callable[[int], str]):
        self._sink, self._member_of = sink, member_of

    def write(self, record: Mapping[str, Any]) -> None:
        if "loss" in record or "skipped" in record:
            record = {**record, "member": self._member_of(record["step"] - 1)}
        self._sink.write(record)

    def close(self) -> None:
        self._sink.close()


def _tested(
    outer: OuterLoop, params: Any, best_step: int, console: Console
) -> dict[str, Any]:
    """What each member scores before and after; its directory is left complete."""
    results = {}
    for name, member in outer.members.items():
        before, after = (
            training.member_params(either, name) for either in (outer.params, params)
        )
        results[name] = member.test(before, after, console)
        member.leave(after, best_step, outer.placement)
        member.directory.write_json("results.json", results[name])
    return results
