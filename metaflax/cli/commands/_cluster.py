"""The command `cluster`."""

import dataclasses
from pathlib import Path
from typing import ClassVar

from rich.console import Console

from metaflax import workflows


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Give unlabelled texts pseudo-labels by k-means, for `train --more-train`."""

    EXAMPLES: ClassVar = (
        "metaflax cluster --texts raw.txt --clusters 100 --out pseudo.jsonl",
        "metaflax train --data intents.jsonl --more-train pseudo.jsonl",
    )
    PAGE: ClassVar = "howto/unlabelled"

    texts: str
    """File of texts: one per line, or JSONL, CSV, TSV or Parquet."""
    out: Path
    """JSONL file of texts and pseudo-labels to write."""
    clusters: int
    """Number of clusters."""
    run: Path | None = None
    """Meta-trained run directory whose encoder embeds the texts (default: none, embed
    with --model)."""
    model: str = "minilm"
    """Directory or hub name of a pretrained encoder, without --run."""
    column: str = "text"
    """Column of texts, for a file with columns."""
    seed: int = 0
    """Seed for the initial centres of k-means."""

    def execute(self, console: Console) -> None:
        """Writes the texts with their pseudo-labels."""
        workflows.cluster(
            self.texts,
            self.out,
            console,
            number=self.clusters,
            run_dir=self.run,
            model=self.model,
            column=self.column,
            seed=self.seed,
        )
