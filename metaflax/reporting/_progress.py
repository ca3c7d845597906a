"""Progress bars on the terminal."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class ProgressSink:
    """Shows steps, tasks per second, remaining time, and the latest scores.

    On a terminal this is one live line; elsewhere each validation prints one line.

    Args:
      console: console to print on.
      num_steps: number of outer steps of the run.
      tasks_per_step: number of units per step.
      start: number of steps before a run was resumed.
      doing: name of the activity.
      unit: name of the units.
    """

    def __init__(
        self,
        console: Console,
        num_steps: int,
        tasks_per_step: int,
        start: int = 0,
        *,
        doing: str = "meta-training",
        unit: str = "tasks",
    ):
        self._console = console
        self._tasks_per_step = tasks_per_step
        self._progress = Progress(
            TextColumn(doing),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(f"steps, {{task.fields[rate]:.1f}} {unit}/s,"),
            TimeElapsedColumn(),
            TextColumn("gone,"),
            TimeRemainingColumn(),
            TextColumn("left{task.fields[note]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task(
            "", total=num_steps, completed=start, rate=0.0, note=""
        )
        self._progress.start()

    def write(self, record: Mapping[str, Any]) -> None:
        """Shows the record of a step or a validation."""
        valid = {k: v for k, v in record.items() if k.startswith("valid_")}
        if valid:
            scores = ", ".join(
                f"{k.removeprefix('valid_')} {v:.4f}" for k, v in valid.items()
            )
            self._console.print(f"step {record['step']:>5}: validation {scores}")
            self._progress.update(self._task, completed=record["step"])
        elif "skipped" in record:
            self._console.print(
                f"step {record['step']:>5}: left out, it is not finite on"
                f" {record['skipped']}"
            )
        else:
            steps_per_second = self._progress.tasks[0].speed or 0.0
            self._progress.update(
                self._task,
                completed=record["step"],
                rate=steps_per_second * self._tasks_per_step,
                note=f", loss {record['loss']:.4f}",
            )

    def close(self) -> None:
        """Stops the bar, leaving its last state on the terminal."""
        self._progress.stop()


@contextlib.contextmanager
def counting(
    console: Console, total: int, *, doing: str, unit: str
) -> Iterator[Callable[[int], None]]:
    """Shows a progress bar on a terminal; nothing elsewhere.

    Args:
      console: console to print on.
      total: number of units.
      doing: name of the activity.
      unit: name of the units.

    Yields:
      `advance(count)`, which adds finished units.
    """
    progress = Progress(
        TextColumn(doing),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(f"{unit},"),
        TimeElapsedColumn(),
        TextColumn("gone,"),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=console,
        disable=not console.is_terminal,
    )
    with progress:
        task = progress.add_task("", total=total)
        yield lambda count: progress.advance(task, count)
