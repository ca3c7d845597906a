"""Rows of JSONL, CSV and Parquet files, each with its place.

A row is a dict from column to value. A malformed file raises a `ValueError` that names
the place: `reviews.csv:17`.
"""

import contextlib
import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

Row: TypeAlias = tuple[str, dict[str, Any]]


def decoded_lines(stream: Iterable[bytes], name: str) -> Iterator[tuple[str, str]]:
    """Yields (place, line with its line end) of a UTF-8 stream, without its BOM."""
    for number, raw in enumerate(stream, start=1):
        place = f"{name}:{number}"
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{place}: not UTF-8 (byte {error.start + 1} of the line is"
                f" 0x{raw[error.start]:02x}); save the file as UTF-8."
            ) from None
        yield place, line


def jsonl_rows(stream: Iterable[bytes], name: str) -> Iterator[Row]:
    """Yields the object on each line; blank lines are skipped."""
    for place, line in decoded_lines(stream, name):
        if line.strip():
            yield place, json_row(line, place)


def json_row(line: str, place: str) -> dict[str, Any]:
    """Parses a line of JSONL."""
    try:
        row = json.loads(line, object_pairs_hook=once_each)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{place}: not JSON ({error}); write one JSON object a line."
        ) from None
    if not isinstance(row, dict):
        raise ValueError(
            f"{place}: a JSON {type(row).__name__} where one object a line is"
            ' expected, such as {"text": "...", "label": "..."}.'
        )
    return row


def once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Makes a dict of the pairs of a JSON object; raises if a name is repeated.

    Examples:
      >>> once_each([("a", 1), ("b", 2)])
      {'a': 1, 'b': 2}
      >>> once_each([("a", 1), ("a", 2)])
      Traceback (most recent call last):
      ValueError: an object has the name 'a' more than once
    """
    content = dict(pairs)
    if len(content) < len(pairs):
        repeated = next(
            name for name, count in Counter(n for n, _ in pairs).items() if count > 1
        )
        raise ValueError(f"an object has the name {repeated!r:.60} more than once")
    return content


def csv_rows(stream: Iterable[bytes], name: str, delimiter: str = ",") -> Iterator[Row]:
    """Yields the rows under a header, values as text; blank lines are skipped."""
    lines = (line for _, line in decoded_lines(stream, name))
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    header: list[str] | None = None
    while True:
        try:
            fields = next(reader, None)
        except csv.Error as error:
            raise ValueError(
                f"{name}:{reader.line_num}: malformed CSV ({error}); quote fields that"
                " hold quotes or line breaks."
            ) from None
        if fields is None:
            return
        if not fields:
            continue
        place = f"{name}:{reader.line_num}"
        if header is None:
            header = _checked_header(fields, place)
        elif len(fields) != len(header):
            raise ValueError(
                f"{place}: {len(fields)} fields where the header has {len(header)};"
                " quote fields that hold the delimiter."
            )
        else:
            yield place, dict(zip(header, fields, strict=True))


def _checked_header(fields: list[str], place: str) -> list[str]:
    repeated = sorted({name for name in fields if fields.count(name) > 1})
    if repeated:
        raise ValueError(
            f"{place}: the header names {', '.join(map(repr, repeated))} more than"
            " once; rename one of the columns."
        )
    return fields


def parquet_rows(path: Path) -> Iterator[Row]:
    """Yields the rows of a Parquet file."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise ValueError(
            f"{path}: reading Parquet needs pyarrow; install it, or save as JSONL."
        ) from None

    number = 0
    try:
        with pq.ParquetFile(path) as file:
            _checked_header(list(file.schema_arrow.names), str(path))
            for batch in file.iter_batches():
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}: row {number}", row
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        first = (str(error).splitlines() or [""])[0]
        raise ValueError(
            f"{path}: not a readable Parquet file ({first}); write it again."
        ) from None


def tsv_rows(stream: Iterable[bytes], name: str) -> Iterator[Row]:
    """Yields the rows of a TSV file; see `csv_rows`."""
    return csv_rows(stream, name, delimiter="\t")


STREAM_READERS: dict[str, Callable[[Iterable[bytes], str], Iterator[Row]]] = {
    ".jsonl": jsonl_rows,
    ".ndjson": jsonl_rows,
    ".json": jsonl_rows,
    ".csv": csv_rows,
    ".tsv": tsv_rows,
}

KNOWN_SUFFIXES = (*STREAM_READERS, ".parquet")


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Opens a file for reading bytes; errors become a ValueError of one sentence."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file; check the path.") from None
    except (OSError, ValueError) as error:
        # ValueError: a NUL inside the path.
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"{path}: cannot be opened ({reason}).") from None
    with file:
        yield file


def file_rows(path: Path) -> Iterator[Row]:
    """Yields the rows of a file in the format of its suffix."""
    suffix = path.suffix.lower()
    with opened(path) as file:
        if suffix not in KNOWN_SUFFIXES:
            raise ValueError(
                f"{path}: files ending in {suffix!r} are not read; use one of"
                f" {', '.join(KNOWN_SUFFIXES)}."
            )
        if suffix == ".parquet":
            yield from parquet_rows(path)
        else:
            yield from STREAM_READERS[suffix](file, str(path))
