"""Rows of raw text with words hidden: what a BERT is pretrained on."""

import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from metaflax import base, data
from metaflax.config import RawTextConfig


class HiddenRows(NamedTuple):
    """Rows of text with words hidden, to train on and to score.

    Attributes:
      config: of the text.
      seed: draws rows and hidden words.
      tokenizer: of Hugging Face.
      train: the text that is trained on.
      valid: that which is held out, the end of the file.
      vocabulary: ids that a random token is drawn from.
    """

    config: RawTextConfig
    seed: int
    tokenizer: Any
    train: data.PackedText
    valid: data.PackedText
    vocabulary: np.ndarray

    @classmethod
    def of(cls, config: RawTextConfig, seed: int, tokenizer: Any) -> "HiddenRows":
        """Indexes the text and holds its end out.

        Raises:
          ValueError: if the text cannot be read, or is too short to be divided.
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
        divide = len(index) - num_held_out
        parts = index, tokenizer, config.length
        return cls(
            config,
            seed,
            tokenizer,
            data.PackedText(*parts, 0, divide),
            data.PackedText(*parts, divide, len(index)),
            data.ordinary_tokens(tokenizer),
        )

    def stream(
        self, step: int, size: int, at_once: int, share: np.ndarray | None = None
    ) -> Iterator[base.Task]:
        """The batches of `step` and all later ones, as tasks without support.

        Args:
          step: the first.
          size: rows a step.
          at_once: rows of one task, a divisor of `size`.
          share: which tasks of each batch are made; None for all.
        """
        chosen = slice(None) if share is None else share
        for number in itertools.count(step):
            numbers = np.arange(size) + number * size
            parts = [
                self._collated([self._hidden_row(row) for row in part.tolist()])
                for part in numbers.reshape(-1, at_once)[chosen]
            ]
            yield base.Task((), jax.tree.map(lambda *x: np.stack(x), *parts))  # pyright: ignore

    def held_out(self, most: int, size: int) -> Iterator[base.Batch]:
        """The batches to be scored, the same ones always; the last is filled up."""
        rows = itertools.islice(self.valid.rows(), most)
        hidden = [
            self._hidden(row, _draws(self.seed, number))
            for number, row in enumerate(rows)
        ]
        for first in range(0, len(hidden), size):
            part = hidden[first : first + size]
            batch = self._collated([*part, *[part[-1]] * (size - len(part))])
            batch.weights[len(part) :] = 0
            yield batch

    def summary(self) -> str:
        """What there is, for a message."""
        held_out = self.valid.last - self.valid.first
        return f"{self.num_texts} texts to train on, {held_out} held out"

    @property
    def num_texts(self) -> int:
        """How many texts are trained on."""
        return self.train.last - self.train.first

    @property
    def num_places(self) -> int:
        """P, the most tokens of a row that are asked for."""
        return max(int(self.config.mask_rate * self.config.length), 1)

    def _hidden_row(self, number: int) -> data.Hidden:
        return self._hidden(
            self.train.row(self.seed, number), _draws(self.seed, number)
        )

    def _hidden(self, row: data.Row, rng: np.random.Generator) -> data.Hidden:
        return data.hide_words(
            row,
            rng,
            mask_id=self.tokenizer.mask_token_id,
            vocabulary=self.vocabulary,
            rate=self.config.mask_rate,
        )

    def _collated(self, rows: list[data.Hidden]) -> base.Batch:
        pad_id = self.tokenizer.pad_token_id or 0
        return data.collate_hidden(rows, self.config.length, self.num_places, pad_id)


def _draws(seed: int, number: int) -> np.random.Generator:
    """What is random about one row, the same in every run of a seed."""
    key = np.array([seed, number], np.uint64)
    return np.random.Generator(np.random.Philox(key=key))
