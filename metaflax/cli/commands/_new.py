"""The command `new`."""

import dataclasses
from pathlib import Path
from typing import ClassVar

from rich.console import Console

from metaflax import workflows


@dataclasses.dataclass(frozen=True)
class New:
    """Create a model with random weights, and a tokenizer trained on texts."""

    EXAMPLES: ClassVar = (
        "metaflax new --texts train.jsonl --out small_model",
        "metaflax new --texts train.jsonl --family bert --out small_bert",
    )
    PAGE: ClassVar = "howto/bring_a_model"

    out: Path
    """Directory to write, in Hugging Face's format, for `train --model`."""
    texts: Path | None = None
    """File of texts to train the tokenizer on; give texts of meta-training only."""
    columns: tuple[str, ...] = ("text", "target")
    """Columns of texts, for a file with columns."""
    family: str = "seq2seq"
    """Architecture: decoder (gpt or llama), encoder-decoder (seq2seq, of two BERTs, or
    t5), encoder (bert), or the import path of a family outside the package."""
    encoder: str | None = None
    """Directory or hub name of a BERT, or minilm, whose weights and tokenizer become
    the encoder of a seq2seq model; --texts is then not needed."""
    vocab_size: int = 4000
    """Largest number of tokens in the vocabulary."""
    hidden_size: int = 128
    """Number of features of a token."""
    num_layers: int = 2
    """Number of layers, or of decoder layers with --encoder."""
    num_heads: int = 4
    """Number of attention heads of a layer."""
    max_positions: int = 256
    """Largest number of tokens of a text."""
    seed: int = 0
    """Seed for drawing the weights."""

    def execute(self, console: Console) -> None:
        """Writes the model."""
        if self.encoder is not None:
            directory = workflows.language_model_from_encoder(
                self.out, self.encoder, layers=self.num_layers, seed=self.seed
            )
        elif self.texts is None:
            raise ValueError(
                "a new model needs texts for its tokenizer; give --texts FILE, or"
                " --encoder for a BERT that has one."
            )
        else:
            directory = workflows.new_language_model(
                self.out,
                workflows.texts_of_file(self.texts, self.columns),
                family=self.family,
                vocab_size=self.vocab_size,
                width=self.hidden_size,
                layers=self.num_layers,
                heads=self.num_heads,
                positions=self.max_positions,
                seed=self.seed,
            )
        console.print(f"a new model: {directory}", markup=False, soft_wrap=True)
