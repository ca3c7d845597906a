"""Options of the commands that read texts to predict."""

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class Input:
    """Texts: columns, format and encoding."""

    column: str = "text"
    """Column of texts, for a source with columns."""
    column_pair: str = "text_pair"
    """Column of second texts, for models of pairs of texts."""
    input_format: Literal["lines", "jsonl", "csv", "tsv"] | None = None
    """Format of the texts (default: by the file's name)."""
    encoding: str | None = None
    """Encoding of the texts, such as latin-1 (default: UTF-8, or what a byte order mark
    names)."""
