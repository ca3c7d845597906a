"""Sources of texts whose rows are read by where they begin.

Lines of a file are read where they are. Whatever else there is to read (CSV, Parquet,
Arrow, several files) is written once, line by line, into a store of its own.
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
    """A text, its label if any, and the first byte of its line."""

    start: int
    text: str
    label: str | None


class Source(Protocol):
    """What is indexed.

    Attributes:
      path: what messages call it.
      text: the column of texts; None where a line is a text.
      label: the column of labels, if any.
      column: the column of texts in its lines, which a store gives a name of its own.
      in_place: whether its lines are read where they are, and not from a store.
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
        """The files that its rows come from."""
        ...

    def rows(self, store: Path) -> Iterator[Row]:
        """Yields its rows, and writes them to a store that is not there yet if need be.

        Raises:
          ValueError: for anything wrong with a row, saying where.
        """
        ...


@dataclasses.dataclass(frozen=True)
class FileOfLines:
    """A file with a text a line, or JSONL.

    Attributes:
      path: the file.
      text: the column of texts, of JSONL; else None.
      label: the column of labels, if any.
    """

    path: Path
    text: str | None
    label: str | None
    in_place = True

    @classmethod
    def of(cls, path: Path, text: str, label: str | None) -> "FileOfLines":
        """With the columns that such a file has.

        Raises:
          ValueError: if labels are asked of plain text.
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
    """Whatever `read_rows` reads, of which texts are kept in a store.

    Attributes:
      source: see `data.read`.
      text: the column of texts.
      label: the column of labels, if any.
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
    """SHA-256, in hex, of the content of a source, its columns, and anything else.

    Raises:
      ValueError: if a file cannot be read.
    """
    digest = hashlib.sha256()
    for path in files:
        with _rows.opened(path) as file:
            content = hashlib.file_digest(file, "sha256")  # pyright: ignore
            digest.update(content.digest())
        # The name of a file of lines is no matter; others are read by how it ends.
        digest.update(b"" if source.in_place else path.suffix.lower().encode() + b"\0")
    digest.update(json.dumps([*more, source.text, source.label]).encode())
    return digest.hexdigest()


def stamps_of(files: Iterable[Path]) -> list[Stamp]:
    """Those of files.

    Raises:
      ValueError: if one is missing.
    """
    found = []
    for path in files:
        with _rows.opened(path) as file:
            found.append(Stamp.of(file.fileno()))
    return found


def _read(
    values: dict[str, Any], place: str, text: str, label: str | None
) -> tuple[str, str | None]:
    """The text of a row and its one label."""
    columns = {"text": text, "label": label or "label"}
    fields = tasks.Fields(values, place, columns)
    if label is None:
        return fields.text("text"), None
    names = fields.names("label")
    if len(names) != 1:
        raise fields.refused(
            "label", f"holds {len(names)} labels where a text is to have one."
        )
    return fields.text("text"), names[0]
