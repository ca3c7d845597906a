"""Reading of texts to predict, from files and streams."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TextIO

from metaflax import tasks
from metaflax.data.sources import _rows
from metaflax.data.sources._decoding import Reading, decoded_lines

# Options that name the columns of a file of texts, in `predict` and similar commands.
COLUMN_OPTIONS = {"text": "--column", "text_pair": "--column-pair"}


class InputRow(NamedTuple):
    """A text to predict, and the row that it was read from.

    Attributes:
      text: the text, of the form that it was read in.
      columns: all columns of the row, and those that `form.row` makes of the text
        where the row has none of the name.
    """

    text: Any
    columns: Mapping[str, Any]


def read_texts(
    source: str | Path | TextIO | BinaryIO,
    *,
    form: tasks.Form = tasks.TEXT,
    column: str = "text",
    column_pair: str = "text_pair",
    format: str | None = None,
    encoding: str | None = None,
) -> Iterator[Any]:
    r"""Yields texts to predict, one by one as they are read.

    Args:
      source: a path, or an open stream such as `sys.stdin`.
      form: makes the input of a row; by default one text.
      column: column of texts, where the source has columns.
      column_pair: column of second texts, for forms of pairs.
      format: `lines` (a text per line), `jsonl`, `csv` or `tsv`; by default that of
        the suffix of the path, and lines for any other.
      encoding: as for `read`.

    Yields:
      Each text, without its line end. Blank lines at the end are left out.

    Raises:
      ValueError: if the source cannot be read, or a text is empty, since predictions
        match texts one by one.

    Examples:
      >>> from metaflax.data import read_texts
      >>> import io
      >>> list(read_texts(io.StringIO("it barks\nit purrs\n")))
      ['it barks', 'it purrs']
    """
    rows = read_input_rows(
        source,
        form=form,
        column=column,
        column_pair=column_pair,
        format=format,
        reading=Reading(encoding),
    )
    for row in rows:
        yield row.text


def read_input_rows(
    source: str | Path | TextIO | BinaryIO,
    *,
    form: tasks.Form = tasks.TEXT,
    column: str = "text",
    column_pair: str = "text_pair",
    format: str | None = None,
    reading: Reading | None = None,
    options: Mapping[str, str] = COLUMN_OPTIONS,
) -> Iterator[InputRow]:
    r"""Yields texts to predict with all columns of their rows, as they are read.

    Args:
      source: a path, or an open stream such as `sys.stdin`.
      form: as for `read_texts`, as are the following.
      column: column of texts.
      column_pair: column of second texts.
      format: format of the source.
      reading: encoding of the source, and notes about what was left out of it.
      options: option of the caller's command that names the column of a role, for
        messages.

    Yields:
      Each text, and its row.

    Raises:
      ValueError: as `read_texts`.

    Examples:
      >>> import io
      >>> rows = io.StringIO('{"id": 7, "text": "it barks"}\n')
      >>> list(read_input_rows(rows, format="jsonl"))
      [InputRow(text='it barks', columns={'text': 'it barks', 'id': 7})]
    """
    if format is not None and format not in _TEXT_FORMATS:
        raise ValueError(
            f"format is {format!r}; the known ones are {', '.join(_TEXT_FORMATS)}."
        )
    columns, reading = {"text": column, "text_pair": column_pair}, reading or Reading()

    def texts(rows: Iterable[_rows.Row]) -> Iterator[InputRow]:
        for place, row in rows:
            text = form.read(tasks.Fields(row, place, columns, options=options))
            written = form.row(text).items()
            by_column = {columns.get(role, role): value for role, value in written}
            yield InputRow(text, {**by_column, **row})

    if isinstance(source, (str, Path)):
        path = Path(source)
        suffix = _rows.suffix_of(path) if format is None else f".{format}"
        with _rows.opened_content(path) as file:
            rows = _stream_rows(file, str(path), suffix, form, column, reading)
            yield from texts(rows)
    else:
        name = str(getattr(source, "name", "<stream>"))
        stream = _as_bytes(getattr(source, "buffer", source))
        rows = _stream_rows(stream, name, f".{format}", form, column, reading)
        yield from texts(rows)


_TEXT_FORMATS = ("lines", "jsonl", "csv", "tsv")


def _as_bytes(stream: Iterable[str | bytes]) -> Iterator[bytes]:
    for line in stream:
        yield line.encode("utf-8", "surrogatepass") if isinstance(line, str) else line


def _stream_rows(
    stream: Any, name: str, suffix: str, form: tasks.Form, column: str, reading: Reading
) -> Iterator[_rows.Row]:
    """Yields the rows of a stream; a plain line is a row of one column."""
    if suffix in _rows.FORMATS:
        yield from _rows.FORMATS[suffix](stream, name, reading)
        return
    if form.required != ("text",):
        raise ValueError(
            f"{name}: a line holds one text, and the inputs of this model are"
            f" {' and '.join(form.required)}; give JSONL, CSV or TSV with such columns."
        )
    blank: str | None = None
    for place, line in decoded_lines(stream, name, reading.encoding):
        if not line.strip():
            blank = blank or place
            continue
        if blank:
            raise ValueError(f"{blank}: the line is blank; remove it.")
        yield place, {column: line.rstrip("\r\n")}
