"""Sources of rows: files, patterns, folders, saved data sets and the hub."""

import glob
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from metaflax.data.sources import _folders, _hub, _rows
from metaflax.data.sources._decoding import Reading


def read_rows(
    source: str | Path, *, split: str | None = None, encoding: str | None = None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the rows of a source of `read`, with all their columns.

    Args:
      source: see `read`.
      split: see `read`.
      encoding: see `read`.

    Yields:
      The place of each row, such as `pets.csv:2`, and its values by column.

    Raises:
      ValueError: if the source is missing or malformed; the message names file and
        line.

    Examples:
      >>> from pathlib import Path
      >>> from metaflax.data import read_rows
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = Path(folder) / "pets.jsonl"
      ...     _ = path.write_text('{"text": "it barks", "age": 3}')
      ...     [row for _, row in read_rows(path)]
      [{'text': 'it barks', 'age': 3}]
    """
    return rows_of(source, split, Reading(encoding))


def rows_of(
    source: str | Path, split: str | None, reading: Reading
) -> Iterator[_rows.Row]:
    """Yields the rows of a source; `reading` notes what was left out."""
    path = Path(source)
    if _hub.is_saved(path):
        return _hub.saved_rows(path, split)
    if _hub.is_directory(path):
        return _folders.folder_rows(path, split, reading)
    if is_on_hub(source):
        return _hub.hub_rows(str(source), split)
    if split is not None:
        raise ValueError(
            f"{source}: split={split!r} is for hub data sets, saved directories and"
            " folders; a file is read whole."
        )
    if _hub.is_file(path) or not glob.has_magic(str(source)):
        return _rows.file_rows(path, reading)
    files = _matching(source)
    return itertools.chain.from_iterable(
        _rows.file_rows(Path(file), reading) for file in files
    )


def arrow_of(
    source: str | Path, split: str | None
) -> tuple[list[Path], dict[str, list[str]]] | None:
    """Returns the Arrow files of a data set of `datasets`, and its names of classes.

    Returns:
      Files and class names by column; None for a source of another kind, or one in
      memory.

    Raises:
      ValueError: if it cannot be loaded, or has no such split.
    """
    path = Path(source)
    if _hub.is_saved(path):
        return _hub.arrow_files(_hub.saved(path, split), str(source), split)
    if not is_on_hub(source):
        return None
    return _hub.arrow_files(_hub.fetched(str(source), split), str(source), split)


def is_on_hub(source: str | Path) -> bool:
    """Returns whether a source names a data set on the hub, and no local path."""
    path = Path(source)
    if _hub.is_directory(path) or _hub.is_file(path):
        return False
    return _hub.is_hub_name(source, _rows.KNOWN_SUFFIXES)


def files_of(source: str | Path, split: str | None = None) -> list[Path]:
    """Lists the local files of a source of `read_rows`, in order.

    Raises:
      ValueError: if there is none.
    """
    path = Path(source)
    if _hub.is_saved(path):
        return sorted(file for file in path.rglob("*") if file.is_file())
    if _hub.is_directory(path):
        return _folders.folder_files(path, split)
    if _hub.is_file(path):
        return [path]
    if is_on_hub(source):
        return _hub.hub_files(str(source))
    if glob.has_magic(str(source)):
        return [Path(file) for file in _matching(source)]
    raise ValueError(f"{source}: no such file; check the path.")


def _matching(pattern: str | Path) -> list[str]:
    """Lists the files that match a pattern, in order.

    Raises:
      ValueError: if none does.
    """
    if files := sorted(glob.glob(str(pattern))):
        return files
    raise ValueError(f"{pattern}: no file matches this pattern; check it.")
