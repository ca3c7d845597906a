"""Prediction with an adapted encoder: labels and probabilities of texts."""

import csv
import dataclasses
import io
import json
import queue
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol, TextIO

import jax
import numpy as np

from metaflax import config as config_lib
from metaflax import data, models, tasks
from metaflax.workflows.runs._token_outputs import reading

# One batch shape and few token budgets, to bound the number of compilations.
BUDGET_RATIO = 4.0
# Task types by Hugging Face's problem type of a classifier.
TASK_NAMES = {
    "multi_label_classification": "multilabel_classification",
    "regression": "regression",
}


class Predictor:
    """Classifier, tagger or question answerer, compiled once per bucket of lengths.

    Args:
      directory: output of `adapt`, or a BERT sequence classifier of Hugging Face.
      batch_size: largest number of texts in one call.

    Attributes:
      pretrained: the loaded model.
      task: the task type that the model was adapted to.
      names: class names.
      tokenizer: the Hugging Face tokenizer.
      encoder: the network below the output layer.
      params: parameters of the encoder and of the output layer.
      buckets: the lengths that texts are padded to.
      form: the form of its input texts.
      num_truncated: number of texts so far that lost an entity to truncation.

    Raises:
      ValueError: if the directory holds no sequence classifier.
    """

    def __init__(self, directory: str | Path, batch_size: int = 32):
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
        self.num_truncated = 0
        family = pretrained.family
        self._positions = family.max_positions(pretrained.config)
        self.tokenizer = pretrained.tokenizer()
        self.encoder = encoder = family.encoder(
            pretrained.config,
            pooling=pretrained.pooling,
            standardize=pretrained.standardize,
        )
        self.params = jax.device_put((pretrained.params, pretrained.head))
        lengths = (32, 128, 512)
        self.buckets = data.Buckets(
            (*(n for n in lengths if n < self._positions), self._positions),
            budget_ratio=BUDGET_RATIO,
        )

        def logits(params, tokens):
            encoder_params, head = params
            features = encoder.apply(encoder_params, tokens, None)
            products = features @ head["kernel"]  # [B, N], or [B, L, N] of tokens.
            return products + head["bias"].reshape(*[1] * (products.ndim - 1), -1)

        self._logits = jax.jit(logits)

    def __call__(self, texts: list[Any]) -> list[dict[str, Any]]:
        """Returns predictions for at most `batch_size` texts, in order."""
        tokenized = self.tokenize(texts)
        self.num_truncated += tokenized.num_lost
        logits = self._outputs(tokenized)
        if self.task.tokens is None:
            outputs = self.task.outputs(logits)
        else:
            outputs = reading(texts, np.arange(len(texts)), tokenized, logits)
        predictions = self.task.decode(outputs, self.names)
        rows = map(self.form.row, texts)
        return [{**row, **p} for row, p in zip(rows, predictions, strict=True)]

    def notes(self) -> list[str]:
        """Returns a sentence about the texts that lost an entity to truncation."""
        if not self.num_truncated:
            return []
        return [
            f"{self.num_truncated} texts were truncated to {self._positions} tokens and"
            " lost an entity; shorten them."
        ]

    def tokenize(self, texts: list[Any]) -> data.TokenizedTexts:
        """Tokenizes texts of the model's form, truncated to the model's positions."""
        return data.tokenize(
            self.tokenizer,
            texts,
            max_length=self._positions,
            form=self.form,
            on_long="truncate",
            max_positions=self._positions,
        )

    def _outputs(self, tokenized: data.TokenizedTexts) -> np.ndarray:
        """Computes the logits of every row, `[R, N]` or `[R, L, N]`."""
        size, logits = self.batch_size, []
        for first in range(0, len(tokenized), size):
            rows = np.arange(first, min(first + size, len(tokenized)))
            tokens = data.collate_texts(tokenized, rows, size, self.buckets)
            logits.append(np.asarray(self._logits(self.params, tokens))[: len(rows)])
        if self.task.tokens is None:
            return np.concatenate(logits)
        longest = max(part.shape[1] for part in logits)
        return np.concatenate(
            [np.pad(x, ((0, 0), (0, longest - x.shape[1]), (0, 0))) for x in logits]
        )


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
    size = predictor.batch_size
    return [
        prediction
        for first in range(0, len(texts), size)
        for prediction in predictor(texts[first : first + size])
    ]


def predict(
    predictor: BatchPredictor,
    texts: Iterable[Any],
    out: TextIO,
    *,
    format: str = "jsonl",
) -> int:
    """Writes a prediction for each text, as soon as it is computed.

    Texts that have arrived are batched; when a stream stalls, the batch so far is
    predicted at once, so that the process at the other end need not wait.

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
    write = {"jsonl": _write_jsonl, "csv": _write_csv()}[format]
    count = 0
    for batch in batches_on_arrival(texts, predictor.batch_size):
        for prediction in predictor(batch):
            out.write(write(prediction))
        out.flush()
        count += len(batch)
    return count


def batches_on_arrival(texts: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Yields batches of the texts that have arrived, of 1 to `size` texts."""
    arrived: queue.Queue[Any] = queue.Queue(maxsize=4 * size)
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
        while is_text(item):
            batch.append(item)
            if len(batch) == size or arrived.empty():
                break
            item = arrived.get()
        if batch:
            yield batch
        if isinstance(item, Exception):
            raise item
        if is_text(item):
            item = arrived.get()


def _write_jsonl(prediction: dict[str, Any]) -> str:
    return json.dumps(prediction, ensure_ascii=False) + "\n"


def _write_csv():
    has_header = False

    def write(prediction: dict[str, Any]) -> str:
        nonlocal has_header
        row = _flat(prediction)
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if not has_header:
            writer.writerow(row)
            has_header = True
        writer.writerow(row.values())
        return text.getvalue()

    return write


def _flat(prediction: dict[str, Any]) -> dict[str, Any]:
    """Flattens a prediction into columns: joined names, JSON, one per probability."""
    row: dict[str, Any] = {}
    for name, value in prediction.items():
        if isinstance(value, dict):
            row |= {f"p({key})": item for key, item in value.items()}
        elif isinstance(value, (list, tuple)):
            nested = any(isinstance(item, (dict, list)) for item in value)
            row[name] = (
                json.dumps(value, ensure_ascii=False)
                if nested
                else "|".join(map(str, value))
            )
        else:
            row[name] = value
    return row
