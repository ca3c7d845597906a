"""Labels of a stream of texts, and alarms where a class becomes more frequent."""

import dataclasses
import datetime
import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import metaflax
from metaflax import _files, target_kinds, tasks
from metaflax.data.sources._decoding import Reading
from metaflax.data.sources._input_texts import InputRow, read_input_rows
from metaflax.workflows.inference._predict import (
    batches_on_arrival,
    predict_all,
    rename_columns,
)
from metaflax.workflows.inference._predictor import Predictor
from metaflax.workflows.watching import _text_stream
from metaflax.workflows.watching._monitor import Monitor
from metaflax.workflows.watching._outputs import Note
from metaflax.workflows.watching._state import (
    Outputs,
    State,
    Writer,
    opened_outputs,
    read_state,
)


@dataclasses.dataclass(frozen=True)
class Source:
    """Source of the texts.

    Attributes:
      texts: a file, `-` for standard input, or `tcp://HOST:PORT` to listen there.
      follow: whether to wait for lines that are appended to a file.
      column: column of texts, of JSONL and CSV.
      column_pair: column of second texts, for models of pairs.
      format: `lines`, `jsonl`, `csv` or `tsv`; None to infer it from the file's name.
      encoding: encoding of the texts; None for UTF-8 or what a byte order mark names.
    """

    texts: str
    follow: bool = False
    column: str = "text"
    column_pair: str = "text_pair"
    format: str | None = None
    encoding: str | None = None

    @property
    def row_format(self) -> str:
        """Format of the rows."""
        suffix = Path(self.texts).suffix[1:]
        known = suffix if suffix in ("jsonl", "csv", "tsv") else "lines"
        return self.format or known

    def rows_of(
        self, stream: Any, form: tasks.Form, format: str | None
    ) -> Iterator[InputRow]:
        """Yields the rows of a stream or file in a format."""
        return read_input_rows(
            stream,
            form=form,
            column=self.column,
            column_pair=self.column_pair,
            format=format,
            reading=Reading(self.encoding),
        )

    def check(self) -> None:
        """Raises ValueError if there is no such file, or the address is invalid."""
        _text_stream.check(self.texts)

    @property
    def is_file(self) -> bool:
        """True if the source is a file, whose rows can be read again."""
        return self.texts != "-" and not self.texts.startswith("tcp://")


@dataclasses.dataclass(frozen=True)
class Limits:
    """Settings of alarms.

    Attributes:
      classes: classes to watch; empty for all.
      group_size: number of texts that a chart takes together.
      false_alarms: largest rate of false alarms per group, of all classes together.
    """

    classes: Sequence[str] = ()
    group_size: int = 20
    false_alarms: float = 0.005

    def __post_init__(self):
        if self.group_size < 1:
            raise ValueError(f"the group size is {self.group_size}; give 1 or more.")
        if not 0 < self.false_alarms < 1:
            raise ValueError(
                f"the rate of false alarms is {self.false_alarms}; give a number"
                " between 0 and 1, such as 0.005 for one in 200 groups."
            )


def watch(
    directory: str | Path,
    texts: str | Path,
    *,
    past: str | Path | None = None,
    follow: bool = False,
    classes: Sequence[str] = (),
    group_size: int = 20,
    false_alarms: float = 0.005,
    alarms: str | Path = "-",
    labels: str | Path | None = None,
    webhook: str | None = None,
    state: str | Path | None = None,
    column: str = "text",
    column_pair: str = "text_pair",
    format: str | None = None,
    encoding: str | None = None,
    batch_size: int = 32,
    note: Note = lambda sentence: None,
) -> int:
    """Labels texts as they arrive, and gives an alarm where a class surges.

    A control chart (CUSUM) of each class watches its mean probability in groups of
    texts. Its level and threshold are fitted to usual texts, without labels. With a
    state, reading a file resumes after the last row in the state, and alarms and labels
    that were written after the state are written again; a webhook may get such an alarm
    twice.

    Args:
      directory: a classifier that `adapt` wrote.
      texts: a file, `-` for standard input, or `tcp://HOST:PORT` to listen there.
      past: file of usual texts, in the format of its name; needed unless there is a
        state.
      follow: whether to wait for lines that are appended to the file of texts.
      classes: classes to watch; empty for all.
      group_size: number of texts that a chart takes together.
      false_alarms: largest rate of false alarms per group, of all classes together.
      alarms: file that alarms are appended to, `-` for standard output.
      labels: file that the prediction of each text is appended to.
      webhook: address that alarms are posted to.
      state: file of the state from which a later start resumes.
      column: column of texts, of JSONL and CSV.
      column_pair: column of second texts, for models of pairs.
      format: `lines`, `jsonl`, `csv` or `tsv`; None to infer it from the file's name.
      encoding: encoding of the texts; None for UTF-8 or what a byte order mark names.
      batch_size: number of texts of 32 tokens in one call of the network.
      note: called with a sentence for each row left out and each alarm not delivered.

    Returns:
      The number of texts of this call.

    Raises:
      ValueError: if the directory holds no classifier, the past is missing or too
        small, or the state is of other settings.

    Examples:
      ::

        workflows.watch("my_news", "news.log", past="last_year.txt", follow=True,
                        classes=["negative"], alarms="alarms.jsonl", state="state.json")

      >>> from metaflax import workflows
      >>> workflows.watch("my_news", "news.log", group_size=0)
      Traceback (most recent call last):
        ...
      ValueError: the group size is 0; give 1 or more.

    References:
      Page, `Continuous Inspection Schemes
      <https://doi.org/10.1093/biomet/41.1-2.100>`_, Biometrika 1954.
    """
    source = Source(str(texts), follow, column, column_pair, format, encoding)
    limits = Limits(tuple(classes), group_size, false_alarms)
    outputs = Outputs(
        None if labels is None else str(labels),
        str(alarms),
        webhook,
        None if state is None else Path(state),
    )
    predictor = _classifier(directory, batch_size)
    watched = _watched(predictor, limits)
    identity = {
        "model": _files.folder_digest(Path(directory)),
        "classes": watched,
        "group_size": limits.group_size,
        "false_alarms": limits.false_alarms,
    }
    stood = read_state(outputs.state, identity)
    source.check()
    if stood is None:
        stood = State(identity, _fitted(predictor, watched, limits, source, past))
    with opened_outputs(outputs, stood.sizes, note) as writer:
        return _run(predictor, source, stood, writer, note)


def _run(
    predictor: Predictor, source: Source, state: State, writer: Writer, note: Note
) -> int:
    count, goes_on = 0, True
    while goes_on:
        goes_on = False
        rows = _unread(_rows(predictor.form, source, note), source, state)
        try:
            for batch in batches_on_arrival(rows, predictor.window):
                _take(predictor, batch, state, writer)
                count += len(batch)
        except _text_stream.ReplacedError:
            note(f"{source.texts} was replaced; the new file is read from its start.")
            state.num_rows, state.first_row = 0, None
            goes_on = True
    for sentence in predictor.notes():
        note(sentence)
    return count


def _take(
    predictor: Predictor, batch: Sequence[InputRow], state: State, writer: Writer
) -> None:
    """Predicts a batch, and writes its labels and alarms."""
    predictions = predictor([row.text for row in batch])
    for row, prediction in zip(batch, predictions, strict=True):
        inputs = predictor.form.row(row.text)
        fields = {n: v for n, v in prediction.items() if n not in inputs}
        writer.label({**rename_columns(row.columns, fields, {}), **fields})
        state.num_texts += 1
        state.num_rows += 1
        state.first_row = state.first_row or _digest(row)
        shown = " | ".join(map(str, inputs.values()))
        state.monitor, alarms = state.monitor.after(shown, prediction["probabilities"])
        for alarm in alarms:
            now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            writer.alarm({"time": now, "text_number": state.num_texts, **alarm})
    writer.save(state)


def _rows(form: tasks.Form, source: Source, note: Note) -> Iterator[InputRow]:
    """Yields the rows of a stream; a bad line is left out, with a note."""
    name, lines = _text_stream.lines_of(source.texts, follow=source.follow)

    def read(lines: Iterable[bytes]) -> Iterator[InputRow]:
        stream: Any = _Lines(name, lines)
        return source.rows_of(stream, form, source.row_format)

    if source.row_format in ("csv", "tsv"):  # Later rows depend on the first.
        yield from read(lines)
        return
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield from read([line])
        except ValueError as error:
            reason = str(error).removeprefix(f"{name}:1: ")
            note(f"{name}: line {number} is left out: {reason}")


class _Lines:
    """An iterable of lines with the name of their stream."""

    def __init__(self, name: str, lines: Iterable[bytes]):
        self.name, self._lines = name, lines

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._lines)


def _unread(
    rows: Iterator[InputRow], source: Source, state: State
) -> Iterator[InputRow]:
    """Skips the rows that the state counts as read, unless the file is another one."""
    if not source.is_file or not state.num_rows:
        return rows
    first = next(rows, None)
    if first is None or _digest(first) != state.first_row:
        state.num_rows, state.first_row = 0, None
        return itertools.chain([] if first is None else [first], rows)
    return itertools.islice(rows, state.num_rows - 1, None)


def _digest(row: InputRow) -> str:
    content = json.dumps([str(row.text), dict(row.columns)], default=str)
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


def _classifier(directory: str | Path, batch_size: int) -> Predictor:
    predictor = metaflax.load(directory, batch_size)
    if not isinstance(predictor, Predictor) or not _has_classes(predictor.task):
        raise ValueError(
            f"{directory} is no classifier of texts, whose classes could be watched;"
            " name the directory of one that `adapt` wrote."
        )
    return predictor


def _has_classes(task: tasks.TaskType) -> bool:
    return target_kinds.of(task).has_classes and task.tokens is None


def _watched(predictor: Predictor, limits: Limits) -> list[str]:
    for name in limits.classes:
        if name not in predictor.names:
            raise ValueError(
                f"{name!r} is no class of the model; its classes are"
                f" {', '.join(predictor.names)}."
            )
    return sorted(set(limits.classes)) or list(predictor.names)


def _fitted(
    predictor: Predictor,
    watched: Sequence[str],
    limits: Limits,
    source: Source,
    past: str | Path | None,
) -> Monitor:
    if past is None:
        raise ValueError(
            "charts need the usual level of each class; give a file of usual texts"
            " (past, --past)."
        )
    texts = [row.text for row in source.rows_of(past, predictor.form, None)]
    predictions = predict_all(predictor, texts)
    shares = [{n: row["probabilities"][n] for n in watched} for row in predictions]
    try:
        return Monitor.fitted(shares, limits.group_size, limits.false_alarms)
    except ValueError as error:
        raise ValueError(f"{past}: {error}") from error
