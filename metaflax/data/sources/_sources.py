"""Loading of labelled examples, and of texts to predict, from files and the hub."""

import dataclasses
import glob
import itertools
from collections.abc import Hashable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TextIO

from metaflax import tasks
from metaflax.data.sources import _equal_texts, _folders, _hub, _remarks, _rows
from metaflax.data.sources._decoding import Reading, decoded_lines
from metaflax.data.sources._examples import Examples
from metaflax.tasks._base import GoldLabel


def read(
    source: str | Path,
    *,
    task: tasks.TaskType | None = None,
    text: str = "text",
    text_pair: str = "text_pair",
    label: str = "label",
    target: str = "target",
    domain: str | None = None,
    id: str | None = None,
    variants: str | None = None,
    split: str | None = None,
    label_separator: str | None = None,
    encoding: str | None = None,
    unlabelled: str = "error",
) -> Examples:
    r"""Loads labelled examples.

    Args:
      source: a file of JSONL, JSON (an array of objects, or an object that holds one),
        CSV, TSV, CoNLL columns or Parquet, perhaps compressed by gzip, bzip2 or xz, or
        several of them by a pattern such as `folder/*.jsonl` or as a folder; a folder
        with a sub-folder of `.txt` files for each class; a directory written by
        `datasets`' `save_to_disk`; or the name of a data set on the Hugging Face hub
        (`owner/name`, or `owner/name:config`).
      task: makes inputs and targets of a row; by default `tasks.classification()`, a
        text and its labels.
      text: column of texts.
      text_pair: column of second texts, for tasks on pairs.
      label: column of labels: a name, a number, or a list of them where a text has
        several, which a string may hold as JSON.
      target: column of target texts, for generative tasks.
      domain: column of domains, if any.
      id: column of names of examples, if any.
      variants: column of lists of alternatives to the text, perhaps empty, if any; for
        tasks whose input is one text and whose targets are not its parts.
      split: split of a hub data set, a saved directory or a folder, whose file or
        sub-folder of this name is read.
      label_separator: separator of several labels in one string; without it a string
        is one label.
      encoding: encoding of text files; None for UTF-8, or UTF-16 or UTF-32 where a byte
        order mark names it.
      unlabelled: `error` raises for a row whose list of labels is empty, `drop` leaves
        it out and counts it in `num_unlabelled`.

    Returns:
      The examples, in the order of the source. Their `notes` describe labels written
      in several ways, labels that look alike, texts that occur several times, and
      what was converted or left out.

    Raises:
      ValueError: if the source is missing, empty or malformed, a column is unknown, a
        text or label is empty, or the task takes no variants; the message names file
        and line.

    Examples:
      >>> from pathlib import Path
      >>> from metaflax.data import read
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = Path(folder) / "pets.csv"
      ...     _ = path.write_text("text,label\nit barks,dog\nit purrs,cat\n")
      ...     read(path).label_names
      ('cat', 'dog')
    """
    if unlabelled not in ("error", "drop"):
        raise ValueError(f"unlabelled is {unlabelled!r}; it is 'error' or 'drop'.")
    task = task or tasks.classification()
    columns = {"text": text, "text_pair": text_pair, "label": label, "target": target}
    columns |= {"domain": domain} if domain else {}
    columns |= {"id": id} if id else {}
    if variants:
        _check_variants(task)
        columns["variants"] = variants
    texts: list[Hashable] = []
    gold: list[GoldLabel] = []
    names: dict[str, list[str]] = {"domain": [], "id": []}
    others: list[tuple[str, ...]] = []
    num_unlabelled = 0
    spellings: dict[str, set[str]] = {}
    reading, remarks = Reading(encoding), _remarks.Remarks()
    for place, row in _rows_of(source, split, reading):
        fields = tasks.Fields(row, place, columns, label_separator, spellings)
        if unlabelled == "drop" and not fields.items("label"):
            num_unlabelled += 1
            continue
        texts.append(task.form.read(fields))
        gold.append(task.gold_label(fields))
        remarks.add(place, gold[-1].remarks)
        for role in set(names) & set(columns):
            names[role].append(fields.name(role))
        if variants:
            others.append(fields.texts("variants"))
    if not texts:
        raise ValueError(f"{source}: holds no examples; give at least one row.")
    targets = tuple(one.target for one in gold)
    examples = Examples(
        name=str(source) if split is None else f"{source}[{split}]",
        texts=tuple(texts),
        labels=tuple(one.labels for one in gold),
        targets=None if None in targets else targets,
        domains=tuple(names["domain"]) if domain else None,
        ids=tuple(names["id"]) if id else None,
        num_unlabelled=num_unlabelled,
        variants=tuple(others) if variants else None,
    )
    notes = [*remarks.sentences(), *_look_alikes(examples, spellings)]
    notes = [f"{examples.name}: {note}" for note in notes]
    return dataclasses.replace(examples, notes=(*reading.notes, *notes))


def _look_alikes(examples: Examples, spellings: dict[str, set[str]]) -> list[str]:
    """Describes labels that look alike and texts that occur several times."""
    texts, labels = examples.texts, examples.labels
    return [
        *_equal_texts.label_notes(examples.label_names, spellings),
        *_equal_texts.duplicate_notes(texts, labels, examples.groups),
    ]


def _check_variants(task: tasks.TaskType) -> None:
    if task.form is not tasks.TEXT or task.tokens or task.texts:
        raise ValueError(
            "variants are alternatives to a single text with labels; the inputs or"
            " targets of this task type are others."
        )


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
    return _rows_of(source, split, Reading(encoding))


def _rows_of(
    source: str | Path, split: str | None, reading: Reading
) -> Iterator[_rows.Row]:
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
