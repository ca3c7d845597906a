"""The command `export`."""

import dataclasses
from pathlib import Path

from rich.console import Console

from metaflax import workflows


@dataclasses.dataclass(frozen=True)
class Export:
    """Write the meta-trained model of a run, for `train --model` or other libraries."""

    run: Path
    """Meta-trained run directory."""
    out: Path
    """Directory to write, in Hugging Face's format."""

    def execute(self, console: Console) -> None:
        """Writes the model."""
        directory = workflows.export(self.run, self.out)
        message = f"the model of the run: {directory}"
        console.print(message, markup=False, soft_wrap=True)
