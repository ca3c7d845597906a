"""Prediction with an adapted encoder: labels and probabilities of texts."""

import collections
import csv
import dataclasses
import functools
import io
import json
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol, TextIO, runtime_checkable

import jax
import numpy as np

from metaflax import config as config_lib
from metaflax import data, models, target_kinds, tasks
from metaflax.data.sources._sources import InputRow
from metaflax.workflows.inference._rejection import Rejection, with_raw_scores
from metaflax.workflows.inference._truncation import TruncationCount
from metaflax.workflows.runs._calibration import Calibration, calibration_of
from metaflax.workflows.runs._length_batches import (
    TOKENS_PER_TEXT,
    LengthBatches,
    encoded,
)
from metaflax.workflows.runs._token_outputs import reading

# Texts that are sorted by length together, for each text of `batch_size`. Of
# predictions of tokens fewer, since they are kept for the whole window.
WINDOW, TOKEN_WINDOW = 32, 8
# Seconds without a new text after which a stream counts as stalled, and the most that
# a text waits for others.
STALL_SECONDS, MAX_WAIT_SECONDS = 0.005, 0.1
# Task types by Hugging Face's problem type of a classifier.
TASK_NAMES = {
    "multi_label_classification": "multilabel_classification",
    "regression": "regression",
}


class Predictor:
    """Classifier, tagger or question answerer that batches texts by their lengths.

    Texts are sorted by length and computed in batches of `64 * batch_size` tokens, in
    one of few shapes, each compiled once. Predictions are in the order of the texts.

    Args:
      directory: output of `adapt`, or a BERT sequence classifier of Hugging Face.
      batch_size: number of texts of 64 tokens in one call of the network; of shorter
        texts it takes more, of longer ones fewer.
      windows: how a classifier of single texts combines the logits of a text that is
        longer than the model takes and is read in windows that overlap by half: their
        mean, or the largest of each class. None truncates such a text.
      reject: false-rejection rate: a text gets the label None where the confidence of
        its prediction is below a threshold that so many texts of known classes are
        below, by meta-validation. None rejects nothing.

    Attributes:
      pretrained: the loaded model.
      task: the task type that the model was adapted to.
      names: class names.
      tokenizer: the Hugging Face tokenizer.
      encoder: the network below the output layer.
      params: parameters of the encoder and of the output layer.
      batches: how texts are batched by length.
      window: number of texts that are sorted by length together; a call with so many
        texts is fastest.
      form: the form of its input texts.
      truncation: number of texts so far that were truncated.
      num_lost: number of texts so far that lost an entity to truncation.
      calibration: temperature and thresholds that were fitted on meta-validation; None
        for a directory that was adapted without a run, or by an earlier version.

    Raises:
      ValueError: if the directory holds no sequence classifier, or one that does not
        read texts in windows, or has no calibration to reject by.
    """

    def __init__(
        self,
        directory: str | Path,
        batch_size: int = 32,
        *,
        windows: Literal["mean", "max"] | None = None,
        reject: float | None = None,
    ):
        pretrained = models.load(directory)
        if pretrained.head is None or pretrained.labels is None:
            raise ValueError(
                f"{directory} holds an encoder without an output layer; run `metaflax"
                f" adapt --model {directory}` on labelled texts first."
            )
        self.pretrained = pretrained
        self.task = saved_task(pretrained)
        self.names = list(pretrained.labels)
        self.form = self.task.form
        self.batch_size = batch_size
        self._combine = None if windows is None else _combination(windows, self.task)
        self.truncation, self.num_lost = TruncationCount(), 0
        self.calibration = _saved_calibration(pretrained)
        self._rejection = None if reject is None else self._rejection_at(reject)
        family = pretrained.family
        self.tokenizer = pretrained.tokenizer()
        self._positions = min(
            family.max_positions(pretrained.config),
            self.tokenizer.model_max_length,
            # None in directories of earlier versions, and of other libraries.
            pretrained.max_length or sys.maxsize,
        )
        self.encoder = encoder = family.encoder(
            pretrained.config,
            pooling=pretrained.pooling,
            standardize=pretrained.standardize,
        )
        self.params = jax.device_put((pretrained.params, pretrained.head))
        self._num_outputs = int(np.size(pretrained.head["bias"]))
        self.batches = LengthBatches.up_to(
            self._positions, batch_size * TOKENS_PER_TEXT
        )
        self.window = batch_size * (
            WINDOW if self.task.tokens is None else TOKEN_WINDOW
        )

        def logits(params, tokens):
            encoder_params, head = params
            features = encoder.apply(encoder_params, tokens, None)
            products = features @ head["kernel"]  # [B, N], or [B, L, N] of tokens.
            return products + head["bias"].reshape(*[1] * (products.ndim - 1), -1)

        self._logits = jax.jit(logits)

    def __call__(self, texts: list[Any]) -> list[dict[str, Any]]:
        """Returns predictions for any number of texts, in order."""
        return self._predictions(texts, self.tokenize(texts))

    def in_windows(
        self, windows: Iterable[list[Any]]
    ) -> Iterator[list[dict[str, Any]]]:
        """Yields predictions for each list of texts, and tokenizes the next meanwhile.

        Args:
          windows: lists of texts, best of `window` texts.
        """
        tokenized = data.prefetch(
            windows,
            size=1,
            transfer=lambda texts: (texts, self.tokenize(texts)),
            patience=1.0,  # A stream may have stalled.
        )
        for texts, tokens in tokenized:
            yield self._predictions(texts, tokens)

    def _predictions(
        self, texts: list[Any], tokenized: data.TokenizedTexts
    ) -> list[dict[str, Any]]:
        """Computes predictions for texts that are tokenized."""
        self.num_lost += tokenized.num_lost
        logits = self._outputs(tokenized)
        fields = self.truncation.records(tokenized)
        if self._combine is not None and tokenized.owners is not None:
            logits, counts = _by_text(logits, tokenized.owners, self._combine)
            fields = [f | {"windows": n} for f, n in zip(fields, counts, strict=True)]
        predictions = self._decoded(texts, tokenized, logits)
        rows = zip(map(self.form.row, texts), predictions, fields, strict=True)
        return [{**row, **prediction, **more} for row, prediction, more in rows]

    @property
    def temperature(self) -> float:
        """The number that divides logits; 1 without a calibration."""
        return 1.0 if self.calibration is None else self.calibration.temperature

    @property
    def num_rejected(self) -> int:
        """Number of texts so far that were rejected."""
        return 0 if self._rejection is None else self._rejection.num_rejected

    def _rejection_at(self, rate: float) -> Rejection:
        if self.calibration is None:
            raise ValueError(
                f"{self.pretrained.directory} has no threshold to reject texts by,"
                " which is fitted on meta-validation; adapt it again from a run (--run)"
                " of a task type with one class per text, or leave the rejection out."
            )
        return Rejection(self.calibration, rate, len(self.names))

    def _decoded(
        self, texts: list[Any], tokenized: data.TokenizedTexts, logits: np.ndarray
    ) -> list[dict[str, Any]]:
        """Makes predictions of logits, at the temperature, and rejects some of them."""
        if self.task.tokens is not None:
            outputs = reading(texts, np.arange(len(texts)), tokenized, logits)
            return self.task.decode(outputs, self.names)
        outputs = self.task.outputs(logits / np.float32(self.temperature))
        predictions = self.task.decode(outputs, self.names)
        if self.calibration is not None:
            predictions = with_raw_scores(predictions, logits, self.names)
        if self._rejection is not None:
            predictions = self._rejection(predictions, logits)
        return predictions

    def notes(self) -> list[str]:
        """Returns sentences about texts that were truncated or rejected."""
        windows = " or read them in windows (`windows`, --windows)"
        advice = f"shorten them{windows if self.form.encode_windows else ''}"
        notes = self.truncation.notes(self._positions, advice)
        if self.num_lost:
            notes.append(f"{self.num_lost} of them lost an entity.")
        if self._rejection is not None:
            notes += self._rejection.notes()
        return notes

    def tokenize(self, texts: list[Any]) -> data.TokenizedTexts:
        """Tokenizes texts of the model's form, truncated or in windows."""
        return data.tokenize(
            self.tokenizer,
            texts,
            max_length=self._positions,
            form=self.form if self._combine is None else self.form.in_windows(),
            on_long="truncate",
            max_positions=self._positions,
        )

    def _outputs(self, tokenized: data.TokenizedTexts) -> np.ndarray:
        """Computes the logits of every row, `[R, N]` or `[R, L, N]`."""
        rows, longest = np.arange(len(tokenized)), int(tokenized.lengths.max(initial=0))
        per_row = () if self.task.tokens is None else (longest,)
        logits = np.zeros((len(rows), *per_row, self._num_outputs), np.float32)
        apply = functools.partial(self._logits, self.params)
        for part, chunk in encoded(apply, tokenized, rows, self.batches):
            if self.task.tokens is None:
                logits[part] = chunk
            else:
                length = min(chunk.shape[1], longest)
                logits[part, :length] = chunk[:, :length]
        return logits


def _combination(windows: str, task: tasks.TaskType) -> np.ufunc:
    """Returns what reduces the logits of the windows of a text.

    Raises:
      ValueError: if there is no such combination, or the task type reads no windows.
    """
    known = {"mean": np.add, "max": np.maximum}
    if windows not in known:
        raise ValueError(f"windows is {windows!r}; it is {' or '.join(known)}.")
    if not target_kinds.of(task).has_classes or task.tokens is not None:
        raise ValueError(
            "windows are for classifiers of texts, and this model predicts"
            f" {target_kinds.of(task).noun}; leave the windows out."
        )
    task.form.in_windows()  # Raises for forms of more than one text.
    return known[windows]


def _by_text(
    logits: np.ndarray, owners: np.ndarray, combine: np.ufunc
) -> tuple[np.ndarray, list[int]]:
    """Combines the logits `[R, N]` of windows; also counts the windows of each text."""
    counts = np.bincount(owners)  # Every text has a window.
    firsts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    combined = combine.reduceat(logits, firsts, axis=0)  # [U, N]
    if combine is np.add:
        combined = combined / counts[:, None].astype(combined.dtype)
    return combined, counts.tolist()


def _saved_calibration(
    pretrained: models.pretrained.Pretrained,
) -> Calibration | None:
    """Reads the calibration of an adapted directory."""
    record = pretrained.purpose.get("calibration")
    if record is None:
        return None
    return calibration_of(record, str(pretrained.directory / "config.json"))


def saved_task(pretrained: models.pretrained.Pretrained) -> tasks.TaskType:
    """Returns the task type of an adapted directory.

    That of another Hugging Face classifier follows from its problem type.
    """
    config = config_lib.Config()
    name = pretrained.task or TASK_NAMES.get(
        pretrained.problem_type or "", "classification"
    )
    data_config = dataclasses.replace(config.data, task=name)
    return config_lib.build_task(dataclasses.replace(config, data=data_config))


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
    """What `metaflax.load` returns: a predictor that knows its input."""

    @property
    def form(self) -> tasks.Form:
        """The form of its input texts, for `data.read_texts`."""
        ...

    def notes(self) -> list[str]:
        """Returns sentences about what the predictions so far leave out."""
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
    """Returns the number of texts to hand to a predictor at a time."""
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
      note: gets a sentence about each thing that was renamed or left out, at the end.

    Returns:
      The number of rows.

    Raises:
      ValueError: for a text that cannot be used, or a row with columns that the first
        row of a CSV file lacks.
    """
    write = {"jsonl": _write_jsonl, "csv": _write_csv()}[format]
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
            out.write(write({**_apart(row.columns, fields, renamed), **fields}))
        out.flush()
        count += len(batch)
    for name, new in renamed.items():
        note(f"the column {name!r} of the texts is written as {new!r}.")
    for sentence in predictor.notes():
        note(sentence)
    return count


def _apart(
    columns: Mapping[str, Any], fields: Mapping[str, Any], renamed: dict[str, str]
) -> dict[str, Any]:
    """Renames columns that have the name of a field, and records their new names."""
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


def _write_jsonl(prediction: dict[str, Any]) -> str:
    # Parquet files have columns of dates, which JSON has no type for.
    return json.dumps(prediction, ensure_ascii=False, default=str) + "\n"


def _write_csv():
    header: list[str] = []

    def write(prediction: dict[str, Any]) -> str:
        row = _flat(prediction)
        text = io.StringIO()
        if not header:
            header.extend(row)
            csv.writer(text, lineterminator="\n").writerow(header)
        if missing := [name for name in row if name not in header]:
            raise ValueError(
                f"a row has the column {missing[0]!r}, which the first row lacks, and"
                " the header of a CSV file is that of its first row; take --format"
                " jsonl."
            )
        csv.DictWriter(text, header, lineterminator="\n").writerow(row)
        return text.getvalue()

    return write


def _flat(prediction: dict[str, Any]) -> dict[str, Any]:
    """Flattens a prediction into columns: lists as JSON, one per probability."""
    row: dict[str, Any] = {}
    for name, value in prediction.items():
        if name == "truncated":
            row |= _truncation_columns(value)
        elif isinstance(value, dict):
            row |= {f"p({key})": item for key, item in value.items()}
        elif isinstance(value, (list, tuple)):
            row[name] = json.dumps(value, ensure_ascii=False)
        else:
            row[name] = value
    return row


def _truncation_columns(truncated: dict[str, int] | None) -> dict[str, int | None]:
    """Makes the columns of `truncated`, empty for a text that was read whole."""
    truncated = truncated or {}
    names = ("tokens_read", "tokens_total")
    return {f"truncated_{name}": truncated.get(name) for name in names}
