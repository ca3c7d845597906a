"""The command `suggest`."""

import dataclasses
import sys
from pathlib import Path
from typing import ClassVar, Literal

from rich.console import Console

from metaflax import _files, workflows
from metaflax.cli.commands._input import Input
from metaflax.workflows.inference._selection import Strategy


@dataclasses.dataclass(frozen=True)
class Suggest:
    """Suggest which unlabelled texts to label next, best first."""

    EXAMPLES: ClassVar = (
        "metaflax suggest --model my_model --texts pool.jsonl --number 20",
    )
    PAGE: ClassVar = "howto/unlabelled"

    model: Path
    """Directory of a classifier that `adapt` wrote."""
    texts: str
    """Pool of unlabelled texts: one per line, JSONL, CSV or Parquet."""
    number: int = 20
    """Number of texts to suggest."""
    strategy: Strategy = "mix"
    """Texts of largest entropy (uncertainty), of closest two largest probabilities
    (margin), nearest to the centres of k-means clusters (diversity), or nearest to the
    centres of clusters of those with the closest probabilities (mix)."""
    out: str = "-"
    """File of suggestions to write; - for standard output."""
    format: Literal["jsonl", "csv"] = "jsonl"
    """Format of the suggestions."""
    batch_size: int = 32
    """Number of texts of 32 tokens in a batch."""
    seed: int = 0
    """Seed for the initial centres of k-means."""
    input: Input = dataclasses.field(default_factory=Input)

    def execute(self, console: Console) -> None:
        """Writes all suggestions at the end."""
        del console  # Standard output is for suggestions.
        from metaflax.workflows.inference._prediction_formats import writer

        rows, notes = workflows.suggest(
            self.model,
            self.texts,
            self.number,
            self.strategy,
            column=self.input.column,
            column_pair=self.input.column_pair,
            format=self.input.input_format,
            encoding=self.input.encoding,
            batch_size=self.batch_size,
            seed=self.seed,
        )
        content = "".join(map(writer(self.format), rows))
        if self.out == "-":
            sys.stdout.write(content)
        else:
            _files.write_text(self.out, content)
        errors = Console(stderr=True, highlight=False, soft_wrap=True)
        for sentence in notes:
            errors.print(sentence, markup=False)
