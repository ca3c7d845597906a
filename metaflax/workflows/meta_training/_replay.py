"""Repeating one step of a run, episode by episode, to find non-finite values."""

import math
import traceback
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

from metaflax import _meta_gradient, base, training, tree
from metaflax.training._placement import OneDevice
from metaflax.training._state import TrainState
from metaflax.workflows.meta_training._composition import single
from metaflax.workflows.meta_training._members import EpisodicMember
from metaflax.workflows.meta_training._outer_loop import OuterLoop
from metaflax.workflows.meta_training._train import DIVERGED
from metaflax.workflows.runs._console import console_or_quiet
from metaflax.workflows.runs._run import reload_run
from metaflax.workflows.runs._run_directory import MEMBERS, RunDirectory

FILE = "replay.json"
PACKAGE = Path(__file__).parents[2]


class EpisodeResult(NamedTuple):
    """Losses and gradients of one episode.

    Attributes:
      episode: number of the episode in the run.
      query_loss: query loss after the last inner step.
      inner_losses: support loss before each inner step.
      bad_gradients: paths of parameters whose gradient is not finite.
    """

    episode: int
    query_loss: float
    inner_losses: list[float]
    bad_gradients: list[str]

    @property
    def finite(self) -> bool:
        """True if losses and gradients are finite."""
        losses = (self.query_loss, *self.inner_losses)
        return not self.bad_gradients and all(map(math.isfinite, losses))


def replay(
    run_dir: str | Path, console: Console | None = None, *, step: int | None = None
) -> dict[str, Any]:
    """Repeats one step of a run, an episode at a time, and checks for finite values.

    Runs are deterministic: training from the newest checkpoint before the step gives it
    the same parameters and episodes as before. The run is not changed.

    Args:
      run_dir: directory of a run of `train`.
      console: where a table is printed; None to print nothing.
      step: number of the step, from 1 (default: the step with the non-finite loss that
        ended the run).

    Returns:
      The content of `replay.json`: losses and paths of non-finite gradients of each
      episode, and the source line of the first non-finite value.

    Raises:
      ValueError: if there is no run, or no such step.

    Examples:
      >>> import tempfile
      >>> from metaflax import workflows
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     workflows.replay(folder, step=7)
      Traceback (most recent call last):
        ...
      ValueError: ... holds no run, as it has no config.json; name ...
    """
    console = console_or_quiet(console)
    directory = RunDirectory(run_dir)
    config = directory.config()
    if directory.path.parent.name == MEMBERS:
        raise ValueError(
            f"{directory.path} is a member of a mixture, which has no steps of its"
            " own; only a run of `train` can be replayed."
        )
    settings = config.training
    step = _step_number(directory, step, settings.steps)
    member = EpisodicMember(reload_run(directory), directory)
    outer = OuterLoop(single(member, settings), settings, OneDevice())
    state, tasks = _before(directory, outer, step)
    first = (step - 1) * settings.tasks_per_step
    loss_and_grad = _meta_gradient.value_and_grad(
        member.algorithm, task_loop="scan", trains=list(settings.trains)
    )
    arguments = _arguments(state, tasks, settings.dropout)
    results = [
        _result(first + n, loss_and_grad, *args) for n, args in enumerate(arguments)
    ]
    bad = next((n for n, result in enumerate(results) if not result.finite), None)
    content = {
        "step": step,
        "episodes": [result._asdict() for result in results],
        "first_lost": None
        if bad is None
        else _first_non_finite(loss_and_grad, *arguments[bad]),
    }
    console.print(_table(step, results))
    if bad is not None:
        console.print(
            f"episode {results[bad].episode}: {content['first_lost']}", markup=False
        )
    directory.write_json(FILE, _to_json(content))
    return content


def _step_number(directory: RunDirectory, step: int | None, num_steps: int) -> int:
    if step is None:
        if not (directory.path / DIVERGED).is_file():
            raise ValueError(
                f"{directory.path} did not end with a non-finite loss; name a step with"
                " --step."
            )
        return directory.read_json(DIVERGED)["step"]
    if not 1 <= step <= num_steps:
        raise ValueError(f"step is {step}, and the run has steps 1 to {num_steps}.")
    return step


def _before(
    directory: RunDirectory, outer: OuterLoop, step: int
) -> tuple[TrainState, base.Task]:
    """Returns the state before a step, and the batch of the step."""
    state = outer.state
    if directory.checkpoints.is_dir():
        checkpoints = training.Checkpoints(directory.checkpoints, read_only=True)
        before = [n for n in checkpoints.steps() if n < step]
        if before:
            state, _ = checkpoints.restore(state, max(before))
        checkpoints.close()
    for draw in map(outer.transfer, outer.batches(int(state.step))):
        if int(state.step) == step - 1:
            return state, draw.tasks
        state, _ = outer.step(state, draw)
    raise AssertionError  # `_step_number` checks the step.


def _arguments(
    state: TrainState, tasks: base.Task, dropout: bool
) -> list[tuple[Any, ...]]:
    """Returns the arguments of each episode's meta-gradient, as in the step."""
    num_tasks = jax.tree.leaves(tasks)[0].shape[0]
    keys = None
    if dropout:
        keys = jax.random.split(jax.random.fold_in(state.key, state.step), num_tasks)

    def only(number: int) -> Any:
        return jax.tree.map(lambda x: x[number : number + 1], (tasks, keys))

    return [(state.params, *only(n), state.step) for n in range(num_tasks)]


def _result(episode: int, loss_and_grad: Any, *args: Any) -> EpisodeResult:
    (_, info), grads = jax.device_get(jax.jit(loss_and_grad)(*args))
    bad = [
        tree.path_name(path)
        for path, leaf in jax.tree_util.tree_leaves_with_path(grads)
        if not np.all(np.isfinite(leaf))
    ]
    losses = [float(x) for x in np.ravel(info.losses)]
    return EpisodeResult(episode, float(info.query_loss[0]), losses, bad)


def _first_non_finite(loss_and_grad: Any, *args: Any) -> str:
    """Returns the first operation with a non-finite result, and its source line."""
    with jax.debug_nans(True), jax.debug_infs(True):
        try:
            jax.jit(loss_and_grad)(*args)
        except FloatingPointError as error:
            frames = traceback.extract_tb(error.__traceback__)
            ours = [f for f in frames if Path(f.filename).is_relative_to(PACKAGE)]
            place = f" at {ours[-1].filename}:{ours[-1].lineno}" if ours else ""
            return str(error).strip().split("\n")[0] + place
    return "each operation by itself stays finite"


def _table(step: int, results: list[EpisodeResult]) -> Table:
    table = Table(title=f"step {step}, by episode")
    for column in ("episode", "support losses", "query loss", "non-finite gradients"):
        table.add_column(column)
    for result in results:
        paths = result.bad_gradients[:3]
        more = len(result.bad_gradients) - len(paths)
        table.add_row(
            str(result.episode),
            " ".join(f"{x:.4g}" for x in result.inner_losses),
            f"{result.query_loss:.4g}",
            ", ".join(paths) + (f" and {more} more" if more else ""),
        )
    return table


def _to_json(content: Any) -> Any:
    """Replaces non-finite numbers, which JSON does not have, with strings."""
    if isinstance(content, dict):
        return {name: _to_json(x) for name, x in content.items()}
    if isinstance(content, list):
        return [_to_json(x) for x in content]
    if isinstance(content, float) and not math.isfinite(content):
        return str(content)
    return content
