"""The command `report`."""

import dataclasses
from pathlib import Path
from typing import ClassVar

import tyro
from rich.console import Console

from metaflax import workflows


@dataclasses.dataclass(frozen=True)
class Report:
    """Write the HTML page of an evaluation again, tables and plots in one file."""

    EXAMPLES: ClassVar = ("metaflax report runs/intents",)
    PAGE: ClassVar = "howto/evaluate"

    run: tyro.conf.Positional[Path]
    """Run directory that `evaluate` has scored."""
    name: str = "evaluation"
    """Name of the evaluation; the page is NAME.html in the run directory."""

    def execute(self, console: Console) -> None:
        """Writes the page."""
        workflows.report(self.run, console, name=self.name)
