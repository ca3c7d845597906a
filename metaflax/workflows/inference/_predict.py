"""Predict with an adapted directory: texts in, labels with probabilities out."""

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

# One batch shape, and a few token budgets: so many compilations at most.
BUDGET_RATIO = 4.0
# What Hugging Face says of a classifier's targets, as a task type.
TASK_NAMES = {
    "multi_label_classification": "multilabel_classification",
    "regression": "regression",
}


class Predictor:
    """An adapted model, compiled once per bucket of lengths.

    Args:
      directory: what `adapt` wrote, or any BERT sequence classifier of Hugging Face.
      batch_size: texts in one call.

    Attributes:
      pretrained: what the directory holds.
      task: what it was adapted to.
      names: of its answers.
      tokenizer: of Hugging Face.
      encoder: texts to what the output layer reads.
      params: of encoder and output layer.
      buckets: lengths that texts are padded to.
      form: of the texts that it reads.
      num_lost: how many texts so far were too long for all of their entities.

    Raises:
      ValueError: if the directory holds no sequence classifier.
    """

    def __init__(self, directory: str | Path, batch_size: int = 32):
        pretrained = models.pretrained.load(directory)
        if pretrained.head is None or pretrained.labels is None:
            raise ValueError(
                f"{directory} holds an encoder without an output layer; adapt it to a"
                " task first."
            )
        self.pretrained = pretrained
        self.task = saved_task(pretrained)
        self.names = list(pretrained.labels)
        self.form = self.task.form
        self.batch_size = batch_size
        self.num_lost = 0
        self._positions = pretrained.config.max_position_embeddings
        self.tokenizer = models.pretrained.tokenizer(pretrained.directory)
        self.encoder = encoder = models.encoder(
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
        """Answers for at most `batch_size` texts of the model's form, in order."""
        tokenized = self.tokenize(texts)
        self.num_lost += tokenized.num_lost
        logits = self._outputs(tokenized)
        if self.task.tokens is None:
            outputs = self.task.outputs(logits)
        else:
            outputs = reading(texts, np.arange(len(texts)), tokenized, logits)
        answers = self.task.decode(outputs, self.names)
        rows = map(self.form.row, texts)
        return [{**row, **answer} for row, answer in zip(rows, answers, strict=True)]

    def tokenize(self, texts: list[Any]) -> data.TokenizedTexts:
        """The tokens of texts of the model's form, as many as it reads."""
        return data.tokenize(
            self.tokenizer,
            texts,
            max_length=self._positions,
            form=self.form,
            on_long="truncate",
            max_positions=self._positions,
        )

    def _outputs(self, tokenized: data.TokenizedTexts) -> np.ndarray:
        """What the output layer says of every row, `[R, N]` or `[R, L, N]`."""
        size, found = self.batch_size, []
        for first in range(0, len(tokenized), size):
            rows = np.arange(first, min(first + size, len(tokenized)))
            tokens = data.collate_texts(tokenized, rows, size, self.buckets)
            found.append(np.asarray(self._logits(self.params, tokens))[: len(rows)])
        if self.task.tokens is None:
            return np.concatenate(found)
        longest = max(part.shape[1] for part in found)
        return np.concatenate(
            [np.pad(x, ((0, 0), (0, longest - x.shape[1]), (0, 0))) for x in found]
        )


def saved_task(pretrained: models.pretrained.Pretrained) -> tasks.TaskType:
    """The task type that an adapted directory is for.

    Other classifiers of Hugging Face name none; what they say of their targets tells.
    """
    config = config_lib.Config()
    name = pretrained.task or TASK_NAMES.get(
        pretrained.problem_type or "", "classification"
    )
    named = dataclasses.replace(config.data, task=name)
    return config_lib.build_task(dataclasses.replace(config, data=named))


class Answering(Protocol):
    """What answers texts of a form, some of them at a time."""

    @property
    def batch_size(self) -> int:
        """Texts in one call, at most."""
        ...

    def __call__(self, texts: list[Any]) -> list[dict[str, Any]]:
        """A record for each text, in order."""
        ...


def predict(
    predictor: Answering,
    texts: Iterable[Any],
    out: TextIO,
    *,
    format: str = "jsonl",
) -> int:
    """Writes an answer for each text, as soon as it is known.

    Texts that are there already are answered together; a stream that stalls is
    answered at once, so that a person or a program at the other end need not wait.

    Args:
      predictor: an adapted model, or several together.
      texts: of its form, read to their end.
      out: gets JSONL, or CSV with a column for each label's probability.
      format: `jsonl` or `csv`.

    Returns:
      How many texts were answered.

    Raises:
      ValueError: for a text that cannot be used.
    """
    write = {"jsonl": _write_jsonl, "csv": _write_csv()}[format]
    count = 0
    for batch in as_they_come(texts, predictor.batch_size):
        for answer in predictor(batch):
            out.write(write(answer))
        out.flush()
        count += len(batch)
    return count


def as_they_come(texts: Iterable[Any], most: int) -> Iterator[list[Any]]:
    """Batches of what has arrived: at least one text, at most `most`."""
    arrived: queue.Queue[Any] = queue.Queue(maxsize=4 * most)
    end = object()

    def listen():
        try:
            for text in texts:
                arrived.put(text)
            arrived.put(end)
        except Exception as error:  # Raised where it can be answered.
            arrived.put(error)

    def is_text(item: Any) -> bool:
        return item is not end and not isinstance(item, Exception)

    threading.Thread(target=listen, daemon=True).start()
    item = arrived.get()
    while item is not end:
        batch: list[Any] = []
        while is_text(item):
            batch.append(item)
            if len(batch) == most or arrived.empty():
                break
            item = arrived.get()
        if batch:
            yield batch
        if isinstance(item, Exception):
            raise item
        if is_text(item):
            item = arrived.get()


def _write_jsonl(answer: dict[str, Any]) -> str:
    return json.dumps(answer, ensure_ascii=False) + "\n"


def _write_csv():
    begun = False

    def write(answer: dict[str, Any]) -> str:
        nonlocal begun
        row = _flat(answer)
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if not begun:
            writer.writerow(row)
            begun = True
        writer.writerow(row.values())
        return text.getvalue()

    return write


def _flat(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer as columns: names joined, records as JSON, each probability alone."""
    row: dict[str, Any] = {}
    for name, value in answer.items():
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
