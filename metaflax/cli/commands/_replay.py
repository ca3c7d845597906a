"""The command `replay`."""

import dataclasses
from pathlib import Path
from typing import ClassVar

import tyro
from rich.console import Console

from metaflax import workflows


@dataclasses.dataclass(frozen=True)
class Replay:
    """Repeat one step of a run, episode by episode, to find non-finite values."""

    EXAMPLES: ClassVar = (
        "metaflax replay runs/intents",
        "metaflax replay runs/intents --step 120",
    )
    PAGE: ClassVar = "howto/diverged"

    run: tyro.conf.Positional[Path]
    """Run directory of `train`; nothing in it is changed."""
    step: int | None = None
    """Step to repeat, counted from 1 (default: the one that ended the run)."""

    def execute(self, console: Console) -> None:
        """Repeats the step and prints a table of its episodes."""
        workflows.replay(self.run, console, step=self.step)
