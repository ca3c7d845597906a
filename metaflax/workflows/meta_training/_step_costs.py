"""Saying and keeping what the steps of a run cost."""

import json
from typing import Any

from rich.console import Console

from metaflax import reporting, training
from metaflax.workflows.runs._run_directory import RunDirectory

FILE = "cost.json"


class StepCosts:
    """Told of each step that is compiled, says what it costs and writes it down.

    The first is shown, and then those that cost more than all before; `cost.json` has
    one record for each shape of batch.

    Args:
      directory: of the run, which may not have begun.
      console: gets a line.
      what: is trained, where a run trains several things.
    """

    def __init__(self, directory: RunDirectory, console: Console, what: str = ""):
        self._of = f" of {what}" if what else ""
        self._directory = directory
        self._console = console
        self._most = (0, 0.0)
        self._records: list[dict[str, Any]] = []

    def __call__(self, step: training.CompiledStep) -> None:
        """Takes a step that was compiled."""
        if step.rejected:
            self._say(_smaller(step))
        most = (step.cost.peak, step.cost.flops)
        if most > self._most:
            which = ", of a larger batch" if self._records else ""
            line = reporting.cost_line(step.cost, step.available)
            self._say(f"one step{self._of}{which}: {line}")
            self._most = most
        self._records.append(_record(step))
        if self._directory.path.is_dir():
            self.write()

    def _say(self, line: str) -> None:
        self._console.print(line, soft_wrap=True)

    def write(self) -> None:
        """Writes down what is known, beside what an interrupted run knew."""
        path = self._directory.path / FILE
        before = json.loads(path.read_text()) if path.is_file() else []
        shapes = [record["shapes"] for record in self._records]
        kept = [record for record in before if record["shapes"] not in shapes]
        self._directory.write_json(FILE, [*kept, *self._records])


def _smaller(step: training.CompiledStep) -> str:
    chunk, cost = step.rejected[0]
    needs = "too much" if cost is None else reporting.memory(cost.peak)
    has = "" if step.available is None else f" of {reporting.memory(step.available)}"
    return (
        f"{chunk} tasks at once would need {needs}{has} of memory; this run takes"
        f" {step.tasks_at_once} at once, which gives the same gradients."
    )


def _record(step: training.CompiledStep) -> dict[str, Any]:
    return {
        "shapes": {path: list(shape) for path, shape in step.shapes.items()},
        "tasks_at_once": step.tasks_at_once,
        "available_bytes": step.available,
        **step.cost.record(),
    }
