"""Synthetic labelled texts of any number, in the formats that training reads."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

MIB = 2**20
# Texts that are made together.
CHUNK = 50_000
FORMATS = {"jsonl": "rows.jsonl", "parquet": "rows.parquet", "arrow": "rows"}


class Source(NamedTuple):
    """The labelled texts of a measurement.

    Attributes:
      folder: where they and all else lie.
      rows: how many texts.
      classes: how many labels.
      format: how they are stored.
    """

    folder: Path
    rows: int
    classes: int
    format: str = "jsonl"

    @property
    def path(self) -> Path:
        """Where the texts are."""
        return self.folder / FORMATS[self.format]

    @property
    def cache(self) -> Path:
        """Where the index is kept."""
        return self.folder / "cache" / "texts"


def make(source: Source, seconds: float) -> dict[str, Any]:
    """Writes texts of 6 to 18 words, those of a label all over the file."""
    del seconds
    source.folder.mkdir(parents=True, exist_ok=True)
    if source.format == "jsonl":
        with source.path.open("w") as file:
            for texts, labels in chunks(source):
                pairs = zip(texts, labels, strict=True)
                file.writelines(
                    f'{{"text": "{t}", "label": "{c}"}}\n' for t, c in pairs
                )
    else:
        write_table(source)
    size = sum(file.stat().st_size for file in files(source.path))
    return {"rows": source.rows, "classes": source.classes, "mib": round(size / MIB)}


def chunks(source: Source, seed: int = 0) -> Iterator[tuple[list[str], list[str]]]:
    """Yields texts and their labels; words are as frequent as Zipf's law has them."""
    vocabulary = words()
    share = 1 / np.arange(1, len(vocabulary) + 1)
    reach = np.cumsum(share / share.sum())
    rng = np.random.default_rng(seed)
    for first in range(0, source.rows, CHUNK):
        numbers = range(first, min(first + CHUNK, source.rows))
        lengths = rng.integers(6, 19, len(numbers))
        drawn = vocabulary[np.searchsorted(reach, rng.random(int(lengths.sum())))]
        parts = np.split(drawn, np.cumsum(lengths)[:-1])
        labels = [f"label {number % source.classes}" for number in numbers]
        yield list(map(" ".join, parts)), labels


def words() -> np.ndarray:
    """The words of all-MiniLM-L6-v2 that are letters and whole, in order."""
    from metaflax import data

    lines = (data.fetch_minilm() / "vocab.txt").read_text().splitlines()
    return np.array([w for w in lines if w.isascii() and w.isalpha() and len(w) > 1],
                    object)  # fmt: skip


def write_table(source: Source) -> None:
    """Parquet, or an Arrow table as `datasets` saves it."""
    import datasets
    import pyarrow as pa
    from pyarrow import parquet

    path = source.folder / FORMATS["parquet"]
    schema = pa.schema({"text": pa.string(), "label": pa.string()})
    with parquet.ParquetWriter(path, schema) as writer:
        for texts, labels in chunks(source):
            writer.write_table(pa.table({"text": texts, "label": labels}, schema))
    if source.format == "arrow":
        cache = str(source.folder / "datasets")
        datasets.disable_progress_bars()
        made = datasets.Dataset.from_parquet(str(path), cache_dir=cache)
        made.save_to_disk(source.path)  # pyright: ignore


def files(path: Path) -> list[Path]:
    """A file, or those of a folder."""
    return [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]
