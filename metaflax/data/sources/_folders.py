"""Folders of files in known formats, or of one folder of texts for each class."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from metaflax.data.sources import _rows
from metaflax.data.sources._decoding import Reading, decoded_lines
from metaflax.data.sources._examples import listing

TEXT_SUFFIX = ".txt"
# Names on the hub: its folder of files, and the numbers of a file of a split.
_DATA = "data"
_SHARD = re.compile(r"-\d+-of-\d+(?=\.)")


def folder_files(folder: Path, split: str | None) -> list[Path]:
    """Lists the files of a folder, or of a split of it, in order.

    They are the files with a known suffix in the folder, in its sub-folder `data`, as
    data sets of the hub have it, or else the `.txt` files of its sub-folders. A split
    is a sub-folder, or the files of its name, such as `test.csv` or
    `test-00000-of-00002.parquet`.

    Raises:
      ValueError: if there are none, or files of the hub are of several splits.
    """
    if split is not None and (folder / split).is_dir():
        return folder_files(folder / split, None)
    entries = sorted(path for path in folder.iterdir() if path.name[:1] != ".")
    tables = [p for p in entries if p.is_file() and _rows.suffix_of(p) in _rows.FORMATS]
    if not tables and (folder / _DATA).is_dir():
        return folder_files(folder / _DATA, split)
    splits = [_SHARD.sub("", path.name).partition(".")[0] for path in tables]
    if split is not None:
        files_of_split = [
            p for p, name in zip(tables, splits, strict=True) if name == split
        ]
        if not files_of_split:
            known = {*splits, *(path.name for path in entries if path.is_dir())}
            raise _no_split(folder, f"no split {split!r}", known)
        return files_of_split
    if len(set(splits)) > 1 and all(_SHARD.search(path.name) for path in tables):
        raise _no_split(folder, "no split is given", splits)
    files = tables or [p for p in sorted(folder.rglob("*")) if _is_text(folder, p)]
    if not files:
        raise ValueError(
            f"{folder}: a folder without data; give one of files ending in"
            f" {', '.join(_rows.FORMATS)}, one with a folder of {TEXT_SUFFIX} files for"
            " each class, or a directory written by save_to_disk."
        )
    return files


def _no_split(folder: Path, problem: str, known: Iterable[str]) -> ValueError:
    return ValueError(
        f"{folder}: {problem}; choose one of {listing(sorted(set(known)))} by split= or"
        " --split."
    )


def folder_rows(
    folder: Path, split: str | None, reading: Reading
) -> Iterator[_rows.Row]:
    """Yields the rows of the files of a folder; see `folder_files`.

    A text file is a row with the columns `text` and `label`, the name of its folder.
    """
    for path in folder_files(folder, split):
        if _rows.suffix_of(path) in _rows.FORMATS:
            yield from _rows.file_rows(path, reading)
            continue
        with _rows.opened_content(path) as file:
            lines = decoded_lines(file, str(path), reading.encoding)
            text = "".join(line for _, line in lines)
        yield str(path), {"text": text.strip(), "label": path.parent.name}


def _is_text(folder: Path, path: Path) -> bool:
    """Returns whether a path is a text file in a sub-folder."""
    return (
        _rows.suffix_of(path) == TEXT_SUFFIX
        and path.parent != folder
        and not any(part[:1] == "." for part in path.relative_to(folder).parts)
        and path.is_file()
    )
