"""Rows of files in the usual formats, each with its place.

A row is a dict from column to value. A malformed file raises a `ValueError` that names
the place: `reviews.csv:17`.
"""

import bz2
import contextlib
import csv
import gzip
import itertools
import json
import lzma
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from metaflax._wording import counted
from metaflax.data.sources._class_labels import named
from metaflax.data.sources._conll import conll_rows
from metaflax.data.sources._decoding import Reading, decoded_lines

Row: TypeAlias = tuple[str, dict[str, Any]]
ReadFn: TypeAlias = Callable[[Any, str, Reading], Iterator[Row]]

# A text of megabytes is one field; csv's own limit is 131,072 characters.
csv.field_size_limit(2**31 - 1)


def jsonl_rows(stream: Iterable[bytes], name: str, reading: Reading) -> Iterator[Row]:
    """Yields the object on each line; blank lines are skipped."""
    for place, line in decoded_lines(stream, name, reading.encoding):
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


def json_rows(stream: Iterable[bytes], name: str, reading: Reading) -> Iterator[Row]:
    """Yields the objects of a JSON array, of an object that holds one, or of JSONL.

    Lines are read one by one if the first of several is a whole object.
    """
    decoded = decoded_lines(stream, name, reading.encoding)
    lines = ((place, line) for place, line in decoded if line.strip())
    head = list(itertools.islice(lines, 2))
    lines = itertools.chain(head, lines)
    if len(head) == 2 and _is_object(head[0][1]):
        yield from ((place, json_row(line, place)) for place, line in lines)
        return
    content = "".join(line for _, line in lines)
    if not content:
        return
    try:
        held = json.loads(content, object_pairs_hook=once_each)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{name}: not JSON ({error}); write an array of objects, or one JSON object"
            " a line."
        ) from None
    for number, item in enumerate(_items(held, name, reading), start=1):
        place = f"{name}: row {number}"
        yield place, _object(item, place)


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _items(held: Any, name: str, reading: Reading) -> list[Any]:
    """Returns the items of an array, or of the only array of objects in an object."""
    if isinstance(held, list):
        return held
    match [
        (key, value)
        for key, value in (held.items() if isinstance(held, dict) else ())
        if isinstance(value, (list, dict))
    ]:
        case [(key, [_, *_] as items)] if all(isinstance(i, dict) for i in items):
            reading.notes.append(f"{name}: rows are those of the list {key!r}.")
            return items
    return [held]


def _object(item: Any, place: str) -> dict[str, Any]:
    """Returns a row: an object, or a text with an object of annotations (spaCy)."""
    match item:
        case dict():
            return item
        case [str(text), dict(annotations)]:
            return {"text": text, **annotations}
    raise ValueError(
        f"{place}: a JSON {type(item).__name__} where an object is expected, such as"
        ' {"text": "...", "label": "..."}.'
    )


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


def csv_rows(
    stream: Iterable[bytes], name: str, reading: Reading, delimiter: str | None = None
) -> Iterator[Row]:
    """Yields the rows under a header, values as text; blank lines are skipped.

    Rows that repeat the header are left out and counted.

    Args:
      stream: the lines of the file.
      name: name of the file in messages.
      reading: encoding, and notes about the file.
      delimiter: delimiter; None for a comma, or what divides a header without one.
    """
    decoded = decoded_lines(stream, name, reading.encoding)
    first = next(((p, line) for p, line in decoded if line.strip()), None)
    if first is None:
        return
    if delimiter is None:
        delimiter = _delimiter_of(first[1])
    start = int(first[0].rpartition(":")[2]) - 1  # Blank lines before the header.
    lines = (line for _, line in itertools.chain([first], decoded))
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    header: list[str] | None = None
    repeated = 0
    while True:
        began = start + reader.line_num + 1
        try:
            fields = next(reader, None)
        except csv.Error as error:
            # An open quote runs on to the end of the file.
            ended = start + reader.line_num
            where = f", in line {ended}" if ended > began else ""
            raise ValueError(
                f"{name}:{began}: malformed CSV ({error}{where}); close each quote, and"
                " quote fields that hold quotes or line breaks."
            ) from None
        if fields is None:
            break
        if not fields:
            continue
        place = f"{name}:{start + reader.line_num}"
        if header is None:
            header = _checked_header(fields, place)
        elif fields == header and len(header) > 1:
            repeated += 1
        elif len(fields) != len(header):
            raise ValueError(
                f"{place}: {len(fields)} fields where the header has {len(header)};"
                " quote fields that hold the delimiter."
            )
        else:
            yield place, dict(zip(header, fields, strict=True))
    if repeated:
        lines = counted(repeated, "line that repeats", "lines that repeat")
        note = f"{name}: left out {lines} the header."
        reading.notes.append(note)


def _delimiter_of(header: str) -> str:
    """Returns a comma, or the delimiter of a header without one.

    Examples:
      >>> _delimiter_of("text;label"), _delimiter_of("text,a;b"), _delimiter_of("text")
      (';', ',', ',')
    """
    counts = {mark: _num_fields(header, mark) for mark in (",", ";", "\t", "|")}
    return "," if counts[","] > 1 else max(counts, key=lambda mark: counts[mark])


def _num_fields(header: str, delimiter: str) -> int:
    try:
        return len(next(csv.reader([header], delimiter=delimiter)))
    except csv.Error:
        return 1


def _checked_header(fields: list[str], place: str) -> list[str]:
    repeated = sorted({name for name in fields if fields.count(name) > 1})
    if repeated:
        raise ValueError(
            f"{place}: the header names {', '.join(map(repr, repeated))} more than"
            " once; rename one of the columns."
        )
    return fields


def parquet_rows(file: BinaryIO, name: str, reading: Reading) -> Iterator[Row]:
    """Yields the rows of a Parquet file, with the names of `datasets.ClassLabel`."""
    del reading  # Its texts are UTF-8.
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise ValueError(
            f"{name}: reading Parquet needs pyarrow; install it, or save as JSONL."
        ) from None

    number = 0
    try:
        with pq.ParquetFile(file) as table:
            schema = table.schema_arrow
            _checked_header(list(schema.names), name)
            columns = _class_names(schema)
            for batch in table.iter_batches():
                for row in batch.to_pylist():
                    number += 1
                    for column, names in columns.items():
                        row[column] = named(row[column], names)
                    yield f"{name}: row {number}", row
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        first = (str(error).splitlines() or [""])[0]
        raise ValueError(
            f"{name}: not a readable Parquet file ({first}); write it again."
        ) from None


def _class_names(schema: Any) -> dict[str, list[str]]:
    """Returns the class names that `datasets` wrote into a schema, by column."""
    if b"huggingface" not in (schema.metadata or {}):
        return {}
    try:
        content = json.loads(schema.metadata[b"huggingface"])
        features = content["info"]["features"]
        inner = {name: f.get("feature", f) for name, f in features.items()}
        return {
            name: list(map(str, feature["names"]))
            for name, feature in inner.items()
            if feature.get("_type") == "ClassLabel" and feature.get("names")
        }
    except (ValueError, LookupError, TypeError, AttributeError):
        return {}  # Not written by `datasets`.


def tsv_rows(stream: Iterable[bytes], name: str, reading: Reading) -> Iterator[Row]:
    """Yields the rows of a TSV file; see `csv_rows`."""
    return csv_rows(stream, name, reading, delimiter="\t")


FORMATS: dict[str, ReadFn] = {
    ".jsonl": jsonl_rows,
    ".ndjson": jsonl_rows,
    ".json": json_rows,
    ".csv": csv_rows,
    ".tsv": tsv_rows,
    ".conll": conll_rows,
    ".bio": conll_rows,
    ".iob": conll_rows,
    ".iob2": conll_rows,
    ".parquet": parquet_rows,
}
"""Readers of files by suffix: `rows = read(file, name, reading)`."""

COMPRESSIONS: dict[str, Callable[[BinaryIO], Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
}
"""Decompression of files by suffix."""

KNOWN_SUFFIXES = (*FORMATS, *COMPRESSIONS)


def suffix_of(path: Path) -> str:
    """Returns the suffix of a file in lower case, that of its content if compressed.

    Examples:
      >>> suffix_of(Path("pets.CSV.gz")), suffix_of(Path("pets.jsonl"))
      ('.csv', '.jsonl')
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSIONS:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


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


@contextlib.contextmanager
def opened_content(path: Path) -> Iterator[BinaryIO]:
    """Opens a file, decompressed if its suffix says that it is compressed.

    Raises:
      ValueError: if it cannot be opened, or is damaged.
    """
    with opened(path) as file:
        decompress = COMPRESSIONS.get(path.suffix.lower())
        if decompress is None:
            yield file
            return
        try:
            with decompress(file) as content:
                yield content
        except (EOFError, OSError, lzma.LZMAError, zlib.error) as error:
            raise ValueError(
                f"{path}: cannot be decompressed ({error}); write it again."
            ) from None


def file_rows(path: Path, reading: Reading | None = None) -> Iterator[Row]:
    """Yields the rows of a file in the format of its suffix."""
    suffix = suffix_of(path)
    with opened_content(path) as file:
        if suffix not in FORMATS:
            raise ValueError(
                f"{path}: files ending in {suffix!r} are not read; use one of"
                f" {', '.join(KNOWN_SUFFIXES)}."
            )
        yield from FORMATS[suffix](file, str(path), reading or Reading())
