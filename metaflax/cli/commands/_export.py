"""The command `export`."""

import dataclasses
from pathlib import Path
from typing import ClassVar, Literal

from rich.console import Console

from metaflax import workflows


@dataclasses.dataclass(frozen=True)
class Export:
    """Write a model for other libraries: of a run, or as a graph without Python."""

    EXAMPLES: ClassVar = (
        "metaflax export --run runs/intents --out encoder",
        "metaflax export --model my_model --format onnx --out graph",
    )
    PAGE: ClassVar = "howto/export"

    out: Path
    """Directory to write."""
    run: Path | None = None
    """Meta-trained run directory, whose encoder or generative model is written, for
    `train --model` or other libraries (formats hf and sentence-transformers)."""
    model: Path | None = None
    """Directory that `adapt` wrote, for the formats stablehlo and onnx."""
    format: Literal["hf", "sentence-transformers", "stablehlo", "onnx"] = "hf"
    """Format: Hugging Face's (hf), an encoder for sentence-transformers, or a graph
    from tokens to logits and probabilities for `jax.export` (stablehlo) or onnxruntime
    (onnx)."""

    def execute(self, console: Console) -> None:
        """Writes the model."""
        of_run = self.format in ("hf", "sentence-transformers")
        given = self.run if of_run else self.model
        if given is None or (self.run and self.model):
            option = "--run RUN" if of_run else "--model DIR"
            raise ValueError(f"--format {self.format} takes {option}, and it alone.")
        directory = workflows.export(given, self.out, self.format)
        what = "the model of the run" if of_run else "the graph"
        console.print(f"{what}: {directory}", markup=False, soft_wrap=True)
