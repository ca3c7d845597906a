"""The command `augment`."""

import dataclasses
from pathlib import Path
from typing import ClassVar

from rich.console import Console

from metaflax import workflows


@dataclasses.dataclass(frozen=True)
class Augment:
    """Add variants of labelled texts, with words that a masked language model chose."""

    EXAMPLES: ClassVar = (
        "metaflax augment --data data.csv --model runs/mlm/model --out varied.jsonl",
        "metaflax train --data varied.jsonl --variants variants",
    )
    PAGE: ClassVar = "howto/unlabelled"

    data: str
    """JSONL, CSV, TSV or Parquet file, pattern of files, saved data set or hub name."""
    model: str
    """Directory or hub name of an encoder with the output layer of masked language
    modelling, such as `pretrain` writes."""
    out: Path
    """JSONL file to write: the rows, and a column variants for `train --variants`."""
    text: str = "text"
    """Column of texts."""
    split: str | None = None
    """Split to read of a hub data set or saved data set (default: the only one)."""
    variants: int = 4
    """Number of variants of each text."""
    share: float = 0.15
    """Share of a text's words that each variant replaces, at least one word."""
    temperature: float = 1.0
    """Sampling temperature: below 1 for more probable words, above 1 for rarer ones."""
    top_k: int = 20
    """Number of most probable words to sample from, without the replaced one."""
    max_length: int = 128
    """Largest number of tokens of a text; words beyond stay as they are."""
    seed: int = 0
    """Seed for choosing the words and sampling their replacements."""

    def execute(self, console: Console) -> None:
        """Writes the texts with their variants."""
        workflows.augment(
            self.data,
            self.model,
            self.out,
            console,
            text=self.text,
            split=self.split,
            replacing=workflows.Replacing(
                variants=self.variants,
                share=self.share,
                temperature=self.temperature,
                top_k=self.top_k,
                max_length=self.max_length,
                seed=self.seed,
            ),
        )
