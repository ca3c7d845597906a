"""Synthetic labelled texts of any number, in the formats that training reads."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

MIB = 2**20
# Number of texts that are generated at once.
CHUNK = 50_000
FORMATS = {"jsonl": "rows.jsonl", "parquet": "rows.parquet", "arrow": "rows"}


class Source(NamedTuple):
    """The labelled texts of a measurement.

    Attributes:
      folder: folder of the texts and all other files.
      rows: number of texts.
      classes: number of labels.
      format: file format, one of `FORMATS`.
    """

    folder: Path
    rows: int
    classes: int
    format: str = "jsonl"

    @property
    def path(self) -> Path:
        """Path of the texts."""
        return self.folder / FORMATS[self.format]

    @property
    def cache(self) -> Path:
        """Folder of the index."""
        return self.folder / "cache" / "texts"


def make(source: Source, seconds: float) -> dict[str, Any]:
    """Writes texts of 6 to 18 words; texts of a label are spread over the file."""
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
    """Yields texts and their labels; word frequencies follow Zipf's law."""
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
    """Returns the whole words in the vocabulary of all-MiniLM-L6-v2, in order."""
    from metaflax import data

    lines = (data.fetch_minilm() / "vocab.txt").read_text().splitlines()
    return np.array([w for w in lines if w.isascii() and w.isalpha() and len(w) > 1],
                    object)  # fmt: skip


def write_table(source: Source) -> None:
    """Writes Parquet, or an Arrow table as `datasets` saves it."""
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
    """Lists the files of a folder, or the file itself."""
    return [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]
