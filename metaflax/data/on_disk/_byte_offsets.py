"""Sources of texts whose rows are found by byte offset.

Lines of a file, and Arrow files, are read in place. The texts of all other sources
(CSV, Parquet, several files, streams) are first copied, line by line, to a store.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from metaflax import tasks
from metaflax.data.on_disk._arrow_texts import batches_of
from metaflax.data.on_disk._lines import MOST_BYTES, Stamp, numbered_lines
from metaflax.data.sources import _hub, _rows, _sources
from metaflax.data.sources._class_labels import named
from metaflax.data.sources._decoding import marked_encoding
from metaflax.data.sources._folders import TEXT_SUFFIX

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
      arrow: column of texts in Arrow files that are read in place; None for lines.
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
    def arrow(self) -> str | None: ...

    def read_in_place(self) -> Sequence[Path]:
        """Lists the files that texts are read from in place; none for a store."""
        ...

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
    arrow = None

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

    def read_in_place(self) -> list[Path]:
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
      split: see `data.read`.
      encoding: see `data.read`.
    """

    source: str | Path
    text: str
    label: str | None
    split: str | None = None
    encoding: str | None = None
    column = _STORED
    arrow = None

    @property
    def path(self) -> Path:
        return Path(self.source)

    def files(self) -> list[Path]:
        return _sources.files_of(self.source, self.split)

    def read_in_place(self) -> list[Path]:
        return []

    def rows(self, store: Path) -> Iterator[Row]:
        start = 0
        with store.open("wb") as file:
            for place, values in self._labelled_rows():
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

    def settings(self) -> list[Any]:
        """Returns the settings besides files and columns that determine the rows."""
        return [self.split, self.encoding]

    def _labelled_rows(self) -> Iterator[tuple[str, dict[str, Any]]]:
        return _sources.read_rows(self.source, split=self.split, encoding=self.encoding)


@dataclasses.dataclass(frozen=True)
class ArrowRows:
    """A saved data set or hub data set of `datasets`, whose files are read in place.

    Attributes:
      path: its name in messages.
      text: column of texts.
      label: column of labels, if any.
      arrow_files: its Arrow files.
      class_names: names of classes that columns hold as numbers.
    """

    path: Path
    text: str
    label: str | None
    arrow_files: tuple[Path, ...]
    class_names: Mapping[str, list[str]]
    column = None

    @property
    def arrow(self) -> str:
        return self.text

    def files(self) -> list[Path]:
        return list(self.arrow_files)

    def read_in_place(self) -> list[Path]:
        return list(self.arrow_files)

    def rows(self, store: Path) -> Iterator[Row]:
        del store  # Batches stay where they are.
        number = 0
        for start, rows in batches_of(self.arrow_files):
            for row in rows:
                number += 1
                place = f"{self.path}: row {number}"
                for column, names in self.class_names.items():
                    row[column] = named(row[column], names)
                yield Row(start, *_read(row, place, self.text, self.label))


def source_of(
    source: str | Path, text: str, label: str, split: str | None, encoding: str | None
) -> Source:
    """Returns the source of labelled texts, read in place where it can be."""
    path = Path(source).expanduser().absolute()
    if _hub.is_file(path):
        if split is None and is_jsonl(path, encoding):
            return FileOfLines(path, text, label)
    elif (arrow := _sources.arrow_of(source, split)) is not None:
        files, class_names = arrow
        return ArrowRows(Path(source), text, label, tuple(files), class_names)
    return StoredRows(source, text, label, split, encoding)


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
        digest.update(_kind(path) if isinstance(source, StoredRows) else b"")
    digest.update(json.dumps([*more, *_settings(source)]).encode())
    return digest.hexdigest()


def _kind(path: Path) -> bytes:
    """Returns the parts of a path that determine how a file is read."""
    suffix = _rows.suffix_of(path)
    folder = path.parent.name if suffix == TEXT_SUFFIX else ""
    return f"{folder}{suffix}{path.suffix.lower()}\0".encode()


def _settings(source: Source) -> list[Any]:
    """Returns the settings besides the files that determine the rows of a source."""
    settings = [source.text, source.label]
    if isinstance(source, StoredRows):
        settings += source.settings()
    if isinstance(source, ArrowRows):
        settings.append("arrow")
    return settings


def is_jsonl(path: Path, encoding: str | None) -> bool:
    """Returns whether a file is JSONL in UTF-8, whose lines can be read in place."""
    if path.suffix.lower() not in JSON_SUFFIXES or encoding is not None:
        return False
    with _rows.opened(path) as file:
        first, more = file.readline(MOST_BYTES), file.read(1)
    if marked_encoding(first) is not None:
        return False
    if path.suffix.lower() != ".json":
        return True
    # An array, or an object over several lines, has no row on its first line.
    line = first.removeprefix(b"\xef\xbb\xbf").strip()
    return line.startswith(b"{") and line.endswith(b"}") and bool(more)


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
