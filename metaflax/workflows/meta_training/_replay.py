"""One step of a run again, its episodes one by one, to see where numbers end."""

import math
import traceback
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

from metaflax import base, meta_gradient, training, tree
from metaflax.workflows.meta_training._train import DIVERGED, OuterLoop, outer_loop
from metaflax.workflows.runs._run import initial_params, load_run, training_algorithm
from metaflax.workflows.runs._run_directory import MEMBERS, RunDirectory

FILE = "replay.json"
PACKAGE = Path(__file__).parents[1]


class Seen(NamedTuple):
    """What one episode gave.

    Attributes:
      episode: its number in the run.
      query_loss: after the last inner step.
      inner_losses: the support loss before each.
      bad_gradients: paths of parameters whose gradient is not finite.
    """

    episode: int
    query_loss: float
    inner_losses: list[float]
    bad_gradients: list[str]

    @property
    def finite(self) -> bool:
        """Whether all of it are numbers."""
        losses = (self.query_loss, *self.inner_losses)
        return not self.bad_gradients and all(map(math.isfinite, losses))


def replay(
    run_dir: str | Path, console: Console, *, step: int | None = None
) -> dict[str, Any]:
    """Takes one step of a run again, an episode at a time, with checks on.

    Runs are exact: from the newest checkpoint before it, the step finds the parameters
    and the episodes that it found the first time. Nothing of the run is changed.

    Args:
      run_dir: of `train`.
      console: gets a table.
      step: which, counted from 1; the one that ended the run unless given.

    Returns:
      The content of `replay.json`: of each episode its losses and which gradients are
      not finite, and where in the code the first number was lost.

    Raises:
      ValueError: if there is no run, or no such step.
    """
    directory = RunDirectory(run_dir)
    config = directory.config()
    if directory.path.parent.name == MEMBERS:
        raise ValueError(
            f"{directory.path} is a member of a mixture, whose steps are not its own;"
            " only a run of `train` can be replayed."
        )
    step = _step(directory, step, config.training.steps)
    run = load_run(config)
    start, alone = initial_params(run), training.OneDevice()
    outer = outer_loop(run, start, lambda compiled: None, alone)
    state, tasks = _before(directory, outer, step)
    first = (step - 1) * config.training.tasks_per_step
    fn = meta_gradient.value_and_grad(
        training_algorithm(run), task_loop="scan", trains=list(config.training.trains)
    )
    episodes = _episodes(state, tasks, config.training.dropout)
    seen = [_seen(first + n, fn, *parts) for n, parts in enumerate(episodes)]
    bad = next((n for n, one in enumerate(seen) if not one.finite), None)
    found = {
        "step": step,
        "episodes": [one._asdict() for one in seen],
        "first_lost": None if bad is None else _first_lost(fn, *episodes[bad]),
    }
    console.print(_table(step, seen))
    if bad is not None:
        console.print(
            f"episode {seen[bad].episode}: {found['first_lost']}", markup=False
        )
    directory.write_json(FILE, _in_json(found))
    return found


def _step(directory: RunDirectory, step: int | None, most: int) -> int:
    if step is None:
        file = directory.path / DIVERGED
        if not file.is_file():
            raise ValueError(
                f"{directory.path} has no step that ended it; name one with --step."
            )
        return directory.read_json(DIVERGED)["step"]
    if not 1 <= step <= most:
        raise ValueError(f"step is {step}, and the run has steps 1 to {most}.")
    return step


def _before(
    directory: RunDirectory, outer: OuterLoop, step: int
) -> tuple[training.TrainState, base.Task]:
    """The state that a step begins with, and its batch."""
    state, checkpoints = outer.state, None
    if directory.checkpoints.is_dir():
        checkpoints = training.Checkpoints(directory.checkpoints, read_only=True)
        before = [n for n in checkpoints.steps() if n < step]
        if before:
            state, _ = checkpoints.restore(state, max(before))
        checkpoints.close()
    for tasks in map(jax.device_put, outer.batches(int(state.step))):
        if int(state.step) == step - 1:
            return state, tasks
        state, _ = outer.step(state, tasks)
    raise AssertionError  # Batches never end.


def _episodes(
    state: training.TrainState, tasks: base.Task, dropout: bool
) -> list[tuple[Any, ...]]:
    """What the meta-gradient of each episode takes, as the step gives it."""
    num_tasks = jax.tree.leaves(tasks)[0].shape[0]
    keys = None
    if dropout:
        keys = jax.random.split(jax.random.fold_in(state.key, state.step), num_tasks)

    def only(number: int) -> Any:
        return jax.tree.map(lambda x: x[number : number + 1], (tasks, keys))

    return [(state.params, *only(n), state.step) for n in range(num_tasks)]


def _seen(episode: int, fn: Any, *parts: Any) -> Seen:
    (_, info), grads = jax.device_get(jax.jit(fn)(*parts))
    bad = [
        tree.path_name(path)
        for path, leaf in jax.tree_util.tree_leaves_with_path(grads)
        if not np.all(np.isfinite(leaf))
    ]
    losses = [float(x) for x in np.ravel(info.losses)]
    return Seen(episode, float(info.query_loss[0]), losses, bad)


def _first_lost(fn: Any, *parts: Any) -> str:
    """Where the first number is lost, operation by operation."""
    with jax.debug_nans(True), jax.debug_infs(True):
        try:
            jax.jit(fn)(*parts)
        except FloatingPointError as error:
            frames = traceback.extract_tb(error.__traceback__)
            own = [f for f in frames if Path(f.filename).is_relative_to(PACKAGE)]
            place = f" at {own[-1].filename}:{own[-1].lineno}" if own else ""
            return str(error).strip().split("\n")[0] + place
    return "each operation by itself stays finite"


def _table(step: int, seen: list[Seen]) -> Table:
    table = Table(title=f"step {step}, its episodes one by one")
    for column in ("episode", "support losses", "query loss", "gradients not finite"):
        table.add_column(column)
    for one in seen:
        shown = one.bad_gradients[:3]
        more = len(one.bad_gradients) - len(shown)
        table.add_row(
            str(one.episode),
            " ".join(f"{x:.4g}" for x in one.inner_losses),
            f"{one.query_loss:.4g}",
            ", ".join(shown) + (f" and {more} more" if more else ""),
        )
    return table


def _in_json(found: Any) -> Any:
    """The same with words for what JSON has no numbers for."""
    if isinstance(found, dict):
        return {name: _in_json(x) for name, x in found.items()}
    if isinstance(found, list):
        return [_in_json(x) for x in found]
    if isinstance(found, float) and not math.isfinite(found):
        return str(found)
    return found
