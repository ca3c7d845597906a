"""The command `adapt`."""

import dataclasses
from pathlib import Path

from rich.console import Console

from metaflax import workflows


@dataclasses.dataclass(frozen=True)
class Adapt:
    """Learn a new task from a few labelled texts and write a Hugging Face model."""

    support: Path
    """JSONL, CSV or Parquet file of labelled texts, the support set."""
    out: Path
    """Directory to write, for `predict --model`."""
    run: Path | None = None
    """Meta-trained run directory (default: none, adapt a pretrained model)."""
    model: str = "minilm"
    """Directory or hub name of a pretrained model, without --run."""
    algorithm: str = "frozen"
    """Adaptation without --run: frozen, or fine_tuning for generative models."""
    task: str = "classification"
    """Task type of the support set, without --run."""

    def execute(self, console: Console) -> None:
        """Adapts and writes the model."""
        from metaflax.workflows.inference._adapt import without_run

        workflows.adapt(
            self.support,
            self.out,
            console,
            run_dir=self.run,
            config=without_run(self.model, self.algorithm, self.task),
        )
