"""Sources of texts whose rows are found by byte offset.

Lines of a file are read in place. The texts of all other sources (CSV, Parquet, Arrow,
several files) are first copied, line by line, to a store.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from metaflax import tasks
from metaflax.data.on_disk._lines import MOST_BYTES, Stamp, numbered_lines
from metaflax.data.sources import _rows, _sources

JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
_STORED = "text"  # The column of a store.


class Row(NamedTuple):
    """Byte offset of a line, its text, and its label if any."""

    start: int
    text: str
    label: str | None


class Source(Protocol):
    """A source of texts to index.

    Attributes:
      path: its name in messages.
      text: column of texts; None where a line is a text.
      label: column of labels, if any.
      column: column of texts in the lines that are read, those of the store if any.
      in_place: whether lines are read in place rather than from a store.
    """

    @property
    def path(self) -> Path: ...

    @property
    def text(self) -> str | None: ...

    @property
    def label(self) -> str | None: ...

    @property
    def column(self) -> str | None: ...

    @property
    def in_place(self) -> bool: ...

    def files(self) -> list[Path]:
        """Lists the files that the rows come from."""
        ...

    def rows(self, store: Path) -> Iterator[Row]:
        """Yields the rows, and writes them to a new store unless read in place.

        Raises:
          ValueError: if a row is malformed; the message names its place.
        """
        ...


@dataclasses.dataclass(frozen=True)
class FileOfLines:
    """A file with a text per line, or JSONL.

    Attributes:
      path: the file.
      text: column of texts, of JSONL; else None.
      label: column of labels, if any.
    """

    path: Path
    text: str | None
    label: str | None
    in_place = True

    @classmethod
    def of(cls, path: Path, text: str, label: str | None) -> "FileOfLines":
        """Makes the source of a file, by its suffix.

        Raises:
          ValueError: if plain text is to have labels.
        """
        if path.suffix.lower() in JSON_SUFFIXES:
            return cls(path, text, label)
        if label is not None:
            raise ValueError(
                f"{path}: a line of plain text has no label; give JSONL with a column"
                f" {label!r}, or no label."
            )
        return cls(path, None, None)

    @property
    def column(self) -> str | None:
        return self.text

    def files(self) -> list[Path]:
        return [self.path]

    def rows(self, store: Path) -> Iterator[Row]:
        del store  # Lines stay where they are.
        with _rows.opened(self.path) as file:
            for place, start, line in numbered_lines(file, str(self.path)):
                if self.text is None:
                    yield Row(start, line, None)
                    continue
                values = _rows.json_row(line, place)
                yield Row(start, *_read(values, place, self.text, self.label))


@dataclasses.dataclass(frozen=True)
class StoredRows:
    """Any source of `read_rows`, whose texts are copied to a store.

    Attributes:
      source: see `data.read`.
      text: column of texts.
      label: column of labels, if any.
    """

    source: str | Path
    text: str
    label: str | None
    column = _STORED
    in_place = False

    @property
    def path(self) -> Path:
        return Path(self.source)

    def files(self) -> list[Path]:
        return _sources.files_of(self.source)

    def rows(self, store: Path) -> Iterator[Row]:
        start = 0
        with store.open("wb") as file:
            for place, values in _sources.read_rows(self.source):
                text, label = _read(values, place, self.text, self.label)
                line = json.dumps({_STORED: text}, ensure_ascii=False).encode() + b"\n"
                if len(line) > MOST_BYTES:
                    raise ValueError(
                        f"{place}: the text is longer than {MOST_BYTES:,} bytes;"
                        " shorten it."
                    )
                file.write(line)
                yield Row(start, text, label)
                start += len(line)


def digest_of(source: Source, files: Iterable[Path], *more: Any) -> str:
    """Computes the SHA-256 digest of the files and columns of a source, in hex.

    Raises:
      ValueError: if a file cannot be read.
    """
    digest = hashlib.sha256()
    for path in files:
        with _rows.opened(path) as file:
            content = hashlib.file_digest(file, "sha256")  # pyright: ignore
            digest.update(content.digest())
        # The suffix decides how a stored source is read.
        digest.update(b"" if source.in_place else path.suffix.lower().encode() + b"\0")
    digest.update(json.dumps([*more, source.text, source.label]).encode())
    return digest.hexdigest()


def stamps_of(files: Iterable[Path]) -> list[Stamp]:
    """Reads the stamps of files.

    Raises:
      ValueError: if a file is missing.
    """
    stamps = []
    for path in files:
        with _rows.opened(path) as file:
            stamps.append(Stamp.of(file.fileno()))
    return stamps


def _read(
    values: dict[str, Any], place: str, text: str, label: str | None
) -> tuple[str, str | None]:
    """Reads the text of a row and its single label."""
    columns = {"text": text, "label": label or "label"}
    fields = tasks.Fields(values, place, columns)
    if label is None:
        return fields.text("text"), None
    names = fields.names("label")
    if len(names) != 1:
        raise fields.refused("label", f"holds {len(names)} labels; give one per text.")
    return fields.text("text"), names[0]
