"""The command `finetune`."""

import dataclasses
from pathlib import Path
from typing import ClassVar

from rich.console import Console

from metaflax import workflows


@dataclasses.dataclass(frozen=True)
class Finetune:
    """Fine-tune on a larger labelled set, from the meta-trained and the plain model."""

    EXAMPLES: ClassVar = (
        "metaflax finetune --run runs/intents --train mine.csv --test held_out.csv",
    )

    run: Path
    """Meta-trained run directory."""
    train: Path
    """File of labelled texts to fine-tune on."""
    test: Path
    """File of labelled texts to score on."""
    out: Path | None = None
    """Directory for the fine-tuned meta-trained model (default: not written)."""
    epochs: int = 10
    """Number of passes over the training texts."""
    batch_size: int = 16
    """Number of texts per step."""
    learning_rate: float = 5e-5
    """Largest learning rate of the encoder."""
    head_learning_rate: float = 1e-3
    """Largest learning rate of the new output layer."""
    seed: int = 0
    """Seed for the order of texts and for dropout."""

    def execute(self, console: Console) -> None:
        """Fine-tunes from both starts and prints their accuracies."""
        workflows.finetune(
            self.run,
            self.train,
            self.test,
            console,
            out=self.out,
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            head_learning_rate=self.head_learning_rate,
            seed=self.seed,
        )
