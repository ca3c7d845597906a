"""Prediction of many texts, as they arrive, with any predictor."""

import collections
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol, TextIO, runtime_checkable

from metaflax import tasks
from metaflax.data.sources._input_texts import InputRow
from metaflax.workflows.inference._prediction_formats import writer

# Seconds without a new text after which a stream counts as stalled, and the longest
# time that a text waits for others.
STALL_SECONDS, MAX_WAIT_SECONDS = 0.005, 0.1


class BatchPredictor(Protocol):
    """Function from a batch of texts to predictions."""

    @property
    def batch_size(self) -> int:
        """Largest number of texts in one call."""
        ...

    def __call__(self, texts: list[Any]) -> list[dict[str, Any]]:
        """Returns a record for each text, in order."""
        ...


class TextPredictor(BatchPredictor, Protocol):
    """Predictor of `metaflax.load`, with the form of its input texts."""

    @property
    def form(self) -> tasks.Form:
        """Form of its input texts."""
        ...

    def notes(self) -> list[str]:
        """Returns sentences about texts that were truncated or left out so far."""
        ...


def predict_all(predictor: BatchPredictor, texts: list[Any]) -> list[dict[str, Any]]:
    """Returns predictions for any number of texts, computed batch by batch."""
    size = _window(predictor)
    windows = (texts[first : first + size] for first in range(0, len(texts), size))
    return [row for rows in _in_windows(predictor, windows) for row in rows]


@runtime_checkable
class WindowPredictor(BatchPredictor, Protocol):
    """Predictor that takes many texts at once, and sorts them by length."""

    @property
    def window(self) -> int:
        """Number of texts that are sorted together."""
        ...

    def in_windows(
        self, windows: Iterable[list[Any]]
    ) -> Iterator[list[dict[str, Any]]]:
        """Yields predictions for each list of texts."""
        ...


def _window(predictor: BatchPredictor) -> int:
    """Returns the number of texts to pass to a predictor at a time."""
    if isinstance(predictor, WindowPredictor):
        return predictor.window
    return predictor.batch_size


def _in_windows(
    predictor: BatchPredictor, windows: Iterable[list[Any]]
) -> Iterator[list[dict[str, Any]]]:
    """Yields predictions for each list of texts."""
    if isinstance(predictor, WindowPredictor):
        return predictor.in_windows(windows)
    return map(predictor, windows)


def predict(
    predictor: TextPredictor,
    texts: Iterable[Any],
    out: TextIO,
    *,
    format: str = "jsonl",
) -> int:
    """Writes a prediction for each text, as soon as it is computed.

    Args:
      predictor: the result of `metaflax.load`.
      texts: input texts of the predictor's form.
      out: the file to write to.
      format: `jsonl`, or `csv` with a column for each label's probability.

    Returns:
      The number of texts.

    Raises:
      ValueError: for a text that cannot be used.

    Examples:
      >>> import io
      >>> from metaflax import tasks, workflows
      >>> class ByLength:
      ...     form, batch_size = tasks.TEXT, 32
      ...     def __call__(self, texts):
      ...         return [{"label": "long" if len(t) > 8 else "short"} for t in texts]
      ...     def notes(self):
      ...         return []
      >>> out = io.StringIO()
      >>> workflows.predict(ByLength(), ["it barks", "it barks loudly"], out)
      2
      >>> print(out.getvalue(), end="")
      {"text": "it barks", "label": "short"}
      {"text": "it barks loudly", "label": "long"}
    """
    rows = (InputRow(text, predictor.form.row(text)) for text in texts)
    return predict_rows(predictor, rows, out, format=format)


def predict_rows(
    predictor: TextPredictor,
    rows: Iterable[InputRow],
    out: TextIO,
    *,
    format: str = "jsonl",
    note: Callable[[str], None] = lambda sentence: None,
) -> int:
    """Writes each row with its prediction, as soon as that is computed.

    Texts that have arrived are batched; when a stream stalls, the batch so far is
    predicted at once, so that the process at the other end need not wait. All columns
    of a row are kept; one with the name of a field of predictions, such as `label`, is
    written as `input_label`.

    Args:
      predictor: the result of `metaflax.load`.
      rows: input rows, such as `read_input_rows` yields.
      out: the file to write to.
      format: `jsonl`, or `csv` with a column for each label's probability.
      note: called at the end, with a sentence for each renamed column or note of the
        predictor.

    Returns:
      The number of rows.

    Raises:
      ValueError: for a text that cannot be used, or a row with columns that the first
        row of a CSV file lacks.
    """
    write = writer(format)
    renamed: dict[str, str] = {}
    count = 0
    batches: collections.deque[list[InputRow]] = collections.deque()

    def windows() -> Iterator[list[Any]]:
        for batch in batches_on_arrival(rows, _window(predictor)):
            batches.append(batch)
            yield [row.text for row in batch]

    for predictions in _in_windows(predictor, windows()):
        batch = batches.popleft()
        for row, prediction in zip(batch, predictions, strict=True):
            inputs = predictor.form.row(row.text)
            fields = {n: v for n, v in prediction.items() if n not in inputs}
            out.write(write({**rename_columns(row.columns, fields, renamed), **fields}))
        out.flush()
        count += len(batch)
    for name, new in renamed.items():
        note(f"the column {name!r} of the texts is written as {new!r}.")
    for sentence in predictor.notes():
        note(sentence)
    return count


def rename_columns(
    columns: Mapping[str, Any], fields: Mapping[str, Any], renamed: dict[str, str]
) -> dict[str, Any]:
    """Renames columns that have the name of a field, and records their new names.

    Args:
      columns: columns of an input row.
      fields: names of the fields of a prediction.
      renamed: updated with the new name of each renamed column.
    """
    kept = {}
    for name, value in columns.items():
        new = name
        while new in fields or (new != name and new in columns):
            new = f"input_{new}"
        if new != name:
            renamed[name] = new
        kept[new] = value
    return kept


def batches_on_arrival(texts: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Yields batches of the texts that have arrived, of 1 to `size` texts.

    A batch is complete when no text arrives for `STALL_SECONDS`, and after
    `MAX_WAIT_SECONDS` at the latest.
    """
    arrived: queue.Queue[Any] = queue.Queue(maxsize=2 * size)
    end = object()

    def read():
        try:
            for text in texts:
                arrived.put(text)
            arrived.put(end)
        except Exception as error:  # Raised in the consumer's thread.
            arrived.put(error)

    def is_text(item: Any) -> bool:
        return item is not end and not isinstance(item, Exception)

    threading.Thread(target=read, daemon=True).start()
    item = arrived.get()
    while item is not end:
        batch: list[Any] = []
        deadline = time.monotonic() + MAX_WAIT_SECONDS
        while is_text(item):
            batch.append(item)
            left = max(0.0, deadline - time.monotonic())
            if len(batch) == size:
                break
            try:
                item = arrived.get(timeout=min(STALL_SECONDS, left))
            except queue.Empty:
                break
        if batch:
            yield batch
        if isinstance(item, Exception):
            raise item
        if is_text(item):
            item = arrived.get()
