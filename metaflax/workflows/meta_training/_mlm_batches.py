"""Batches of raw text with masked tokens, for masked language models."""

import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from metaflax import base, data
from metaflax.config import RawTextConfig
from metaflax.data.raw_text import _masking
from metaflax.data.raw_text._packed_text import PackedText, Row


class MaskedRows(NamedTuple):
    """Rows of text with masked tokens, for training and validation.

    Attributes:
      config: config of the text.
      seed: seed for drawing rows and masked tokens.
      tokenizer: tokenizer of Hugging Face.
      train: texts for training.
      valid: held-out texts, from the end of the file.
      vocabulary: token ids that random tokens are drawn from.
    """

    config: RawTextConfig
    seed: int
    tokenizer: Any
    train: PackedText
    valid: PackedText
    vocabulary: np.ndarray

    @classmethod
    def of(cls, config: RawTextConfig, seed: int, tokenizer: Any) -> "MaskedRows":
        """Indexes the texts and holds out those at the end.

        Raises:
          ValueError: if the file cannot be read, or has too few texts.
        """
        if not config.text:
            raise ValueError("no text is named; give --text FILE.")
        index = data.index_texts(config.text, text=config.column)
        num_held_out = math.ceil(config.held_out * len(index))
        if num_held_out >= len(index):
            raise ValueError(
                f"{index.path}: holds {len(index)} texts, of which {num_held_out} would"
                " be held out and none left to train on; give more text."
            )
        num_train = len(index) - num_held_out
        parts = index, tokenizer, config.length
        return cls(
            config,
            seed,
            tokenizer,
            PackedText(*parts, 0, num_train),
            PackedText(*parts, num_train, len(index)),
            _masking.ordinary_tokens(tokenizer),
        )

    def stream(
        self,
        step: int,
        size: int,
        rows_per_task: int,
        task_numbers: np.ndarray | None = None,
    ) -> Iterator[base.Task]:
        """Yields the batches from `step` on, as tasks without support sets.

        Args:
          step: number of the first batch.
          size: rows per batch.
          rows_per_task: rows per task, a divisor of `size`.
          task_numbers: indices of the tasks of each batch to return; None for all.
        """
        selected = slice(None) if task_numbers is None else task_numbers
        for number in itertools.count(step):
            numbers = np.arange(size) + number * size
            parts = [
                self._collate([self._masked_row(row) for row in part.tolist()])
                for part in numbers.reshape(-1, rows_per_task)[selected]
            ]
            yield base.Task((), jax.tree.map(lambda *x: np.stack(x), *parts))  # pyright: ignore

    def held_out(self, max_rows: int, size: int) -> Iterator[base.Batch]:
        """Yields the fixed validation batches; the last is padded with weight 0."""
        rows = itertools.islice(self.valid.rows(), max_rows)
        masked = [
            self._masked(row, _generator(self.seed, number))
            for number, row in enumerate(rows)
        ]
        for first in range(0, len(masked), size):
            part = masked[first : first + size]
            batch = self._collate([*part, *[part[-1]] * (size - len(part))])
            batch.weights[len(part) :] = 0
            yield batch

    def record(self) -> dict[str, dict[str, Any]]:
        """Returns the record of the texts, to tell when they change."""
        index = self.train.index
        return {"text": {"texts": len(index), "digest": index.digest}}

    def summary(self) -> str:
        """Returns a summary of the texts, for a message."""
        held_out = self.valid.last - self.valid.first
        return f"{self.num_texts} texts to train on, {held_out} held out"

    @property
    def num_texts(self) -> int:
        """Number of training texts."""
        return self.train.last - self.train.first

    @property
    def num_positions(self) -> int:
        """P, the maximum number of predicted tokens per row."""
        return max(int(self.config.mask_rate * self.config.length), 1)

    def _masked_row(self, number: int) -> _masking.MaskedRow:
        return self._masked(
            self.train.row(self.seed, number), _generator(self.seed, number)
        )

    def _masked(self, row: Row, rng: np.random.Generator) -> _masking.MaskedRow:
        return _masking.mask_words(
            row,
            rng,
            mask_id=self.tokenizer.mask_token_id,
            vocabulary=self.vocabulary,
            rate=self.config.mask_rate,
        )

    def _collate(self, rows: list[_masking.MaskedRow]) -> base.Batch:
        pad_id = self.tokenizer.pad_token_id or 0
        return _masking.collate_masked(
            rows, self.config.length, self.num_positions, pad_id
        )


def _generator(seed: int, number: int) -> np.random.Generator:
    """Returns the random generator of one row, the same in every run with a seed."""
    key = np.array([seed, number], np.uint64)
    return np.random.Generator(np.random.Philox(key=key))
