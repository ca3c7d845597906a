"""Predict with an adapted directory: texts in, labels with probabilities out."""

import csv
import io
import json
import queue
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

import jax
import numpy as np

from metaflax import base, data, models, tasks

# One batch shape, and a few token budgets: so many compilations at most.
BUDGET_RATIO = 4.0


class Predictor:
    """An adapted model, compiled once per bucket of lengths.

    Args:
      directory: what `adapt` wrote, or any BERT sequence classifier of Hugging Face.
      batch_size: texts in one call.

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
        self.labels = list(pretrained.labels)
        self.batch_size = batch_size
        self._positions = pretrained.config.max_position_embeddings
        self._tokenizer = models.pretrained.tokenizer(pretrained.directory)
        multilabel = pretrained.problem_type == "multi_label_classification"
        task = (
            tasks.multilabel_classification() if multilabel else tasks.classification()
        )
        self._decode = task.decode
        encoder = models.encoder(pretrained.config, pooling="pooler")
        self._params = jax.device_put((pretrained.params, pretrained.head))
        lengths = (32, 128, 512)
        self._buckets = data.Buckets(
            (*(n for n in lengths if n < self._positions), self._positions),
            budget_ratio=BUDGET_RATIO,
        )

        def logits(params, tokens):
            encoder_params, head = params
            features = encoder.apply(encoder_params, tokens, None)
            return features @ head["kernel"] + head["bias"][None, :]

        self._logits = jax.jit(logits)

    def __call__(self, texts: list[str]) -> list[dict[str, Any]]:
        """Answers for at most `batch_size` texts, in order."""
        tokenized = data.tokenize(
            self._tokenizer,
            texts,
            max_length=self._positions,
            on_long="truncate",
            max_positions=self._positions,
        )
        tokens = data.collate_texts(
            tokenized, np.arange(len(texts)), self.batch_size, self._buckets
        )
        logits = np.asarray(self._logits(self._params, tokens))[: len(texts)]
        mask = np.ones(len(self.labels), bool)
        answers = self._decode(base.ClassOutputs(logits, mask), self.labels)
        return [{"text": t, **a} for t, a in zip(texts, answers, strict=True)]


def predict(
    directory: str | Path,
    texts: Iterable[str],
    out: TextIO,
    *,
    format: str = "jsonl",
    batch_size: int = 32,
) -> int:
    """Writes an answer for each text, as soon as it is known.

    Texts that are there already are answered together; a stream that stalls is
    answered at once, so that a person or a program at the other end need not wait.

    Args:
      directory: what `adapt` wrote.
      texts: read to its end.
      out: gets JSONL, or CSV with a column for each label's probability.
      format: `jsonl` or `csv`.
      batch_size: texts in one call at most.

    Returns:
      How many texts were answered.

    Raises:
      ValueError: for a directory or text that cannot be used.
    """
    predictor = Predictor(directory, batch_size)
    write = {"jsonl": _write_jsonl, "csv": _write_csv(predictor.labels)}[format]
    count = 0
    for batch in as_they_come(texts, batch_size):
        for answer in predictor(batch):
            out.write(write(answer))
        out.flush()
        count += len(batch)
    return count


def as_they_come(texts: Iterable[str], most: int) -> Iterator[list[str]]:
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

    threading.Thread(target=listen, daemon=True).start()
    item = arrived.get()
    while item is not end:
        batch: list[str] = []
        while isinstance(item, str):
            batch.append(item)
            if len(batch) == most or arrived.empty():
                break
            item = arrived.get()
        if batch:
            yield batch
        if isinstance(item, Exception):
            raise item
        if isinstance(item, str):
            item = arrived.get()


def _write_jsonl(answer: dict[str, Any]) -> str:
    return json.dumps(answer, ensure_ascii=False) + "\n"


def _write_csv(labels: list[str]):
    columns = ["text", "label", *(f"p({label})" for label in labels)]
    begun = False

    def write(answer: dict[str, Any]) -> str:
        nonlocal begun
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if not begun:
            writer.writerow(columns)
            begun = True
        label = answer["label"] if "label" in answer else "|".join(answer["labels"])
        probabilities = [answer["probabilities"][name] for name in labels]
        writer.writerow([answer["text"], label, *probabilities])
        return text.getvalue()

    return write
