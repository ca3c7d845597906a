"""Printing and storing the cost of the compiled steps of a run."""

import json
from typing import Any

from rich.console import Console

from metaflax.profiling._cost import Cost
from metaflax.reporting._costs import cost_line, memory
from metaflax.training._fitted_step import CompiledStep
from metaflax.workflows.runs._run_directory import RunDirectory

FILE = "cost.json"


class StepCosts:
    """Callback for compiled steps that prints their cost and stores it.

    The cost of the first step is printed, then any cost above all earlier ones.
    `cost.json` has one record per batch shape.

    Args:
      directory: directory of the run; nothing is stored before the first `write`.
      console: console for the costs.
      member: name of the member of a mixture that the steps train.
    """

    def __init__(self, directory: RunDirectory, console: Console, member: str = ""):
        self._suffix = f" of {member}" if member else ""
        self._directory = directory
        self._console = console
        self._highest = (0, 0.0)
        self._is_unknown = self._has_begun = False
        self._records: list[dict[str, Any]] = []

    def __call__(self, step: CompiledStep) -> None:
        """Prints and records the cost of a compiled step."""
        if step.rejected:
            self._print(_smaller_chunk(step))
        cost = step.cost
        if (cost is None or cost.flops is None) and not self._is_unknown:
            what = "cost" if cost is None else "number of operations"
            self._print(
                f"The {what} of one step{self._suffix} is unknown: the compiled program"
                " could not be analysed. Training does not depend on it."
            )
            self._is_unknown = True
        if cost is not None:
            self._print_if_highest(cost, step.available)
        self._records.append(_record(step))
        if self._has_begun:
            self.write()

    def _print_if_highest(self, cost: Cost, available: int | None) -> None:
        size = cost.peak, cost.flops or 0.0
        if size <= self._highest:
            return
        batch = ", of a larger batch" if self._records else ""
        line = cost_line(cost, available)
        self._print(f"one step{self._suffix}{batch}: {line}")
        self._highest = size

    def _print(self, line: str) -> None:
        self._console.print(line, soft_wrap=True)

    def write(self) -> None:
        """Writes all records, and keeps those of an interrupted run."""
        self._has_begun = True
        shapes = [record["shapes"] for record in self._records]
        stored = [x for x in self._stored() if x["shapes"] not in shapes]
        self._directory.write_json(FILE, [*stored, *self._records])

    def _stored(self) -> list[dict[str, Any]]:
        path = self._directory.path / FILE
        try:
            return [x for x in json.loads(path.read_text()) if "shapes" in x]
        except (OSError, ValueError, TypeError):
            return []  # Not there yet, or damaged.


def _smaller_chunk(step: CompiledStep) -> str:
    chunk, cost = step.rejected[0]
    needs = "too much" if cost is None else memory(cost.peak)
    has = "" if step.available is None else f" of {memory(step.available)}"
    return (
        f"{chunk} tasks at once would need {needs}{has} of memory; this run takes"
        f" {step.tasks_at_once} at once, which gives the same gradients."
    )


def _record(step: CompiledStep) -> dict[str, Any]:
    unknown = {"flops": None, "bytes_moved": None, "memory_bytes": None}
    return {
        "shapes": {path: list(shape) for path, shape in step.shapes.items()},
        "tasks_at_once": step.tasks_at_once,
        "available_bytes": step.available,
        **(unknown if step.cost is None else step.cost.record()),
    }
