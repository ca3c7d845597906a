"""Texts of Arrow files by number, read in place.

The files are streams of record batches, as `datasets` writes them. The offset of a row
is that of its batch, counted over all files.
"""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from metaflax.data.on_disk._lines import Stamp, release_pages


class Batch(NamedTuple):
    """Offset of a record batch, counted over all files, and its rows by column."""

    start: int
    rows: list[dict[str, Any]]


def batches_of(files: Sequence[Path]) -> Iterator[Batch]:
    """Yields the record batches of files, with one of them in memory at a time."""
    import pyarrow as pa

    first = 0
    for path in files:
        with pa.OSFile(str(path)) as file:
            schema = pa.ipc.read_schema(pa.ipc.read_message(file))
            while True:
                start = file.tell()
                try:
                    message = pa.ipc.read_message(file)
                except EOFError:
                    break
                batch = pa.ipc.read_record_batch(message, schema)
                yield Batch(first + start, batch.to_pylist())
        first += path.stat().st_size


class ArrowTexts:
    """Texts of a column of Arrow files by number.

    Args:
      files: the files, in order.
      starts: int64 `[rows + 1]`, for each row the offset of its batch, then the size of
        all files.
      column: column of texts.
    """

    def __init__(self, files: Sequence[Path], starts: np.ndarray, column: str):
        self._files = tuple(files)
        self._starts = starts
        self._column = column
        sizes = [path.stat().st_size for path in self._files]
        self._first = [0, *itertools.accumulate(sizes)]
        # Mapped files, and their batches so far.
        self._maps: dict[int, tuple[Any, Any]] = {}
        self._batches: dict[int, Any] = {}

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, number: int) -> str:
        """Reads a text.

        Raises:
          ValueError: if the offsets do not fit the files.
        """
        if not 0 <= number < len(self):
            raise IndexError(number)
        start = int(self._starts[number])
        row = number - int(np.searchsorted(self._starts, start))
        try:
            return self._batch(start).column(self._column)[row].as_py()
        except (OSError, LookupError, EOFError, TypeError) as error:
            raise ValueError(
                f"{self._files[0].parent}: row {number} cannot be read ({error})."
            ) from error

    def _batch(self, start: int) -> Any:
        import pyarrow as pa

        if start not in self._batches:
            number = int(np.searchsorted(self._first, start, side="right")) - 1
            if number not in self._maps:
                file = pa.memory_map(str(self._files[number]))
                schema = pa.ipc.read_schema(pa.ipc.read_message(file))
                self._maps[number] = file, schema
            file, schema = self._maps[number]
            file.seek(start - self._first[number])
            batch = pa.ipc.read_record_batch(pa.ipc.read_message(file), schema)
            self._batches[start] = batch
        return self._batches[start]

    @property
    def stamp(self) -> Stamp:
        """Stamp of all files as they are now."""
        return Stamp.of_all(self._files)

    def release(self) -> None:
        """Releases the memory of pages that were read."""
        self._batches.clear()
        self._maps.clear()
        release_pages(self._starts)
