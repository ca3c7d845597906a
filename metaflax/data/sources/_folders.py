"""Folders of files in known formats, or of one folder of texts for each class."""

from collections.abc import Iterator
from pathlib import Path

from metaflax.data.sources import _rows
from metaflax.data.sources._decoding import Reading, decoded_lines
from metaflax.data.sources._examples import listing

TEXT_SUFFIX = ".txt"


def folder_files(folder: Path, split: str | None) -> list[Path]:
    """Lists the files of a folder, or of a split of it, in order.

    They are the files with a known suffix in the folder, or else the `.txt` files of
    its sub-folders. A split is a sub-folder, or the files of its name, such as
    `test.csv`.

    Raises:
      ValueError: if there are none.
    """
    if split is not None and (folder / split).is_dir():
        return folder_files(folder / split, None)
    entries = sorted(path for path in folder.iterdir() if path.name[:1] != ".")
    tables = [p for p in entries if p.is_file() and _rows.suffix_of(p) in _rows.FORMATS]
    if split is not None:
        chosen = [path for path in tables if path.name.partition(".")[0] == split]
        if not chosen:
            known = {path.name.partition(".")[0] for path in tables}
            known |= {path.name for path in entries if path.is_dir()}
            raise ValueError(
                f"{folder}: no split {split!r}; choose one of {listing(sorted(known))}."
            )
        return chosen
    files = tables or [p for p in sorted(folder.rglob("*")) if _is_text(folder, p)]
    if not files:
        raise ValueError(
            f"{folder}: a folder without data; give one of files ending in"
            f" {', '.join(_rows.FORMATS)}, one with a folder of {TEXT_SUFFIX} files for"
            " each class, or a directory written by save_to_disk."
        )
    return files


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
    """Whether a path is a text file in a sub-folder."""
    return (
        _rows.suffix_of(path) == TEXT_SUFFIX
        and path.parent != folder
        and not any(part[:1] == "." for part in path.relative_to(folder).parts)
        and path.is_file()
    )
