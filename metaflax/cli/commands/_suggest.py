"""The command `suggest`."""

import dataclasses
import sys
from pathlib import Path
from typing import Literal

from rich.console import Console

from metaflax import _files, workflows
from metaflax.workflows.inference._selection import Strategy


@dataclasses.dataclass(frozen=True)
class Suggest:
    """Suggest which unlabelled texts to label next, best first."""

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
    column: str = "text"
    """Column of texts, for a pool with columns."""
    column_pair: str = "text_pair"
    """Column of second texts, for models of pairs of texts."""
    input_format: Literal["lines", "jsonl", "csv", "tsv"] | None = None
    """Format of the pool (default: by the file's name)."""
    encoding: str | None = None
    """Encoding of the pool, such as latin-1 (default: UTF-8, or what a byte order mark
    names)."""
    batch_size: int = 32
    """Number of texts of 64 tokens in a batch."""
    seed: int = 0
    """Seed for the initial centres of k-means."""

    def execute(self, console: Console) -> None:
        """Writes the suggestions once all are made."""
        del console  # Standard output is for suggestions.
        from metaflax.workflows.inference._prediction_formats import writer

        rows, notes = workflows.suggest(
            self.model,
            self.texts,
            self.number,
            self.strategy,
            column=self.column,
            column_pair=self.column_pair,
            format=self.input_format,
            encoding=self.encoding,
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
