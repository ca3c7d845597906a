"""The command `fairness`."""

import dataclasses
from pathlib import Path
from typing import ClassVar

from rich.console import Console

import metaflax


@dataclasses.dataclass(frozen=True)
class Fairness:
    """Measure how a classifier's predictions change with swapped names or genders."""

    EXAMPLES: ClassVar = (
        "metaflax fairness --model my_model --templates templates.txt",
    )
    PAGE: ClassVar = "howto/explain"

    model: Path
    """Directory that `adapt` wrote, or a sequence classifier in Hugging Face's
    format."""
    templates: Path
    """File of texts with words to swap, or placeholders such as `{names} is late`."""
    swaps: Path | None = None
    """JSON file of pairs of words by group, as {"gender": [["he", "she"]]} (default:
    short lists of genders, names and companies)."""
    out: Path = Path("fairness.json")
    """JSON file to write."""
    column: str = "text"
    """Column of texts, for a file with columns."""

    def execute(self, console: Console) -> None:
        """Writes and prints the changes by group."""
        from metaflax.data.raw_text._swaps import SWAPS, read_swaps
        from metaflax.data.sources._input_texts import read_texts
        from metaflax.workflows.inference._fairness import fairness_report

        fairness_report(
            metaflax.load(self.model),
            list(read_texts(self.templates, column=self.column)),
            self.out,
            console,
            swaps=read_swaps(self.swaps) if self.swaps else SWAPS,
        )
