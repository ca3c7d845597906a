"""The command `compare`."""

import dataclasses
from pathlib import Path
from typing import ClassVar

import tyro
from rich.console import Console

from metaflax import workflows


@dataclasses.dataclass(frozen=True)
class Compare:
    """Compare runs that were evaluated on the same episodes, the first with each."""

    EXAMPLES: ClassVar = (
        "metaflax compare runs/protonet runs/fomaml --out compared.html",
    )
    PAGE: ClassVar = "howto/compare_runs"

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Run directories that `evaluate` has scored, two or more."""
    name: str = "evaluation"
    """Name of the evaluations to compare."""
    out: Path | None = None
    """HTML file to write (default: none)."""

    def execute(self, console: Console) -> None:
        """Prints the paired differences."""
        workflows.compare_runs(self.runs, console, name=self.name, out=self.out)
