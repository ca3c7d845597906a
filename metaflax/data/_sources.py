"""Reading labelled examples, and texts to predict, from files and the hub."""

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from metaflax.data import _hub, _rows
from metaflax.data._examples import Examples, listing


def read(
    source: str | Path,
    *,
    text: str = "text",
    label: str = "label",
    domain: str | None = None,
    id: str | None = None,
    split: str | None = None,
    label_separator: str | None = None,
    unlabelled: str = "error",
) -> Examples:
    r"""Reads labelled examples.

    Args:
      source: a `.jsonl`, `.csv`, `.tsv` or `.parquet` file, a directory written by
        `datasets`' `save_to_disk`, or the name of a data set on the Hugging Face hub
        (`owner/name`, or `owner/name:config`).
      text: the column of texts.
      label: the column of labels: a name, a number, or a list of them where a text
        has several.
      domain: the column of domains, if any.
      id: the column of names of examples, if any.
      split: which split of a hub data set or saved directory to read.
      label_separator: what separates several labels inside one string; without it a
        string is one label.
      unlabelled: `error` refuses a row whose list of labels is empty, `drop` leaves
        it out and counts it in `num_unlabelled`.

    Returns:
      The examples, in the order of the source.

    Raises:
      ValueError: if the source is missing, empty or malformed, a column is unknown,
        or a text or label is empty; the message names file and line.

    Examples:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = Path(folder) / "pets.csv"
      ...     _ = path.write_text("text,label\nit barks,dog\nit purrs,cat\n")
      ...     read(path).label_names
      ('cat', 'dog')
    """
    if unlabelled not in ("error", "drop"):
        raise ValueError(f"unlabelled is {unlabelled!r}; it is 'error' or 'drop'.")
    columns = {"text": text, "label": label, "domain": domain, "id": id}
    found: dict[str, list[Any]] = {role: [] for role, name in columns.items() if name}
    num_unlabelled = 0
    for place, row in _rows_of(source, split):
        values = {role: _value(row, columns[role], place) for role in found}
        if unlabelled == "drop" and values["label"] == []:
            num_unlabelled += 1
            continue
        found["text"].append(_checked_text(values["text"], place, text))
        found["label"].append(_labels(values["label"], place, label, label_separator))
        for role in set(found) & {"domain", "id"}:
            found[role].append(_name(values[role], place, columns[role]))
    if not found["text"]:
        raise ValueError(f"{source}: holds no examples; give at least one row.")
    return Examples(
        name=str(source) if split is None else f"{source}[{split}]",
        texts=tuple(found["text"]),
        labels=tuple(found["label"]),
        domains=tuple(found["domain"]) if domain else None,
        ids=tuple(found["id"]) if id else None,
        num_unlabelled=num_unlabelled,
    )


def read_texts(
    source: str | Path | TextIO | BinaryIO,
    *,
    column: str = "text",
    format: str | None = None,
) -> Iterator[str]:
    r"""Yields the texts to predict, one by one as they are read.

    Args:
      source: a path, or an open stream such as `sys.stdin`.
      column: the column of texts, where the source has columns.
      format: `lines` (a text a line), `jsonl`, `csv` or `tsv`; by default what the
        path ends in says, and anything else means lines.

    Yields:
      Each text, without its line end. Blank lines at the end are left out.

    Raises:
      ValueError: if the source cannot be read, or a text is empty: answers are to
        match texts one by one.

    Examples:
      >>> import io
      >>> list(read_texts(io.StringIO("it barks\nit purrs\n")))
      ['it barks', 'it purrs']
    """
    if format is not None and format not in _TEXT_FORMATS:
        raise ValueError(
            f"format is {format!r}; the known ones are {', '.join(_TEXT_FORMATS)}."
        )
    if isinstance(source, (str, Path)):
        path = Path(source)
        suffix = path.suffix.lower() if format is None else f".{format}"
        if suffix == ".parquet":
            yield from _column(_rows.file_rows(path), column)
            return
        with _rows.opened(path) as file:
            yield from _stream_texts(file, str(path), suffix, column)
    else:
        name = str(getattr(source, "name", "<stream>"))
        stream: Iterable = getattr(source, "buffer", source)
        yield from _stream_texts(_as_bytes(stream), name, f".{format}", column)


_TEXT_FORMATS = ("lines", "jsonl", "csv", "tsv")


def _as_bytes(stream: Iterable[str | bytes]) -> Iterator[bytes]:
    for line in stream:
        yield line.encode("utf-8", "surrogatepass") if isinstance(line, str) else line


def _stream_texts(
    stream: Iterable[bytes], name: str, suffix: str, column: str
) -> Iterator[str]:
    if suffix in _rows.STREAM_READERS:
        yield from _column(_rows.STREAM_READERS[suffix](stream, name), column)
        return
    blank: str | None = None
    for place, line in _rows.decoded_lines(stream, name):
        if not line.strip():
            blank = blank or place
            continue
        if blank:
            raise ValueError(f"{blank}: the line is blank; remove it.")
        yield line.rstrip("\r\n")


def _column(rows: Iterable[_rows.Row], column: str) -> Iterator[str]:
    for place, row in rows:
        yield _checked_text(_value(row, column, place), place, column)


def _rows_of(source: str | Path, split: str | None) -> Iterator[_rows.Row]:
    """Rows of a file, a saved directory or a hub data set."""
    path = Path(source)
    if _hub.is_directory(path):
        return _hub.saved_rows(path, split)
    if not _hub.is_file(path) and _hub.is_hub_name(source, _rows.KNOWN_SUFFIXES):
        return _hub.hub_rows(str(source), split)
    if split is not None:
        raise ValueError(
            f"{source}: split={split!r} is for hub data sets and saved directories; a"
            " file is read whole."
        )
    return _rows.file_rows(path)


def _value(row: dict[str, Any], column: str | None, place: str) -> Any:
    if column not in row:
        raise ValueError(
            f"{place}: no column {column!r}; the columns are {listing(row)}. Name the"
            " right one."
        )
    return row[column]


def _checked_text(value: Any, place: str, column: str) -> str:
    if not isinstance(value, str):
        raise ValueError(
            f"{place}: {column!r} holds {value!r:.60} where a text is expected."
        )
    if not value.strip():
        raise ValueError(f"{place}: {column!r} is an empty text; remove the row.")
    if any("\ud800" <= char <= "\udfff" for char in value):
        raise ValueError(
            f"{place}: {column!r} holds half of a surrogate pair, which no UTF-8 text"
            " can; repair the text."
        )
    return value


def _labels(
    value: Any, place: str, column: str, separator: str | None
) -> tuple[str, ...]:
    """One label, or the distinct ones of several, in order."""
    if isinstance(value, str) and separator:
        value = value.split(separator)
    values: Sequence = value if isinstance(value, (list, tuple)) else [value]
    if not values:
        raise ValueError(
            f"{place}: {column!r} is an empty list; give a label, or drop such rows."
        )
    return tuple(dict.fromkeys(_name(v, place, column) for v in values))


def _name(value: Any, place: str, column: str | None) -> str:
    """The name that a string, number or truth value stands for."""
    if isinstance(value, float) and math.isnan(value):
        value = None
    if value is None or (isinstance(value, str) and not value.strip()):
        raise ValueError(
            f"{place}: {column!r} is missing; fill it in or remove the row."
        )
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _checked_text(value.strip(), place, column or "")
    if isinstance(value, (int, float)):
        return str(value)
    raise ValueError(
        f"{place}: {column!r} holds {value!r:.60} where a name, a number or a list of"
        " them is expected."
    )
