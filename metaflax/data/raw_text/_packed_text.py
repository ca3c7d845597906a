"""Packs consecutive texts into rows of a fixed number of tokens."""

import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from metaflax.data.on_disk._text_index import TextIndex
from metaflax.data.samplers import _pools

# Characters to read ahead for each token that a row still needs.
_CHARACTERS = 6


class Row(NamedTuple):
    """Tokens of several texts, `[CLS] text [SEP] text [SEP]`.

    Attributes:
      ids: int32 `[L]`, or shorter at the end of the text.
      words: int32 like `ids`, the word that each piece belongs to; -1 for special
        tokens.
    """

    ids: np.ndarray
    words: np.ndarray


@dataclasses.dataclass(frozen=True)
class PackedText:
    """Rows from a range of an indexed text, tokenized on demand.

    A row starts at the beginning of a text and continues with the following texts until
    it is full; its last text is truncated, as is a text longer than a row.

    Attributes:
      index: the indexed text.
      tokenizer: a fast Hugging Face tokenizer of an encoder.
      length: L, the number of tokens of a row.
      first: the first text of the range.
      last: one past the last text of the range.

    Raises:
      ValueError: if the range is empty or out of bounds, or a row has no room for a
        token.
    """

    index: TextIndex
    tokenizer: Any
    length: int
    first: int
    last: int

    def __post_init__(self):
        if not 0 <= self.first < self.last <= len(self.index):
            raise ValueError(
                f"{self.index.path}: holds {len(self.index)} texts, and none are"
                f" {self.first} to {self.last - 1}."
            )
        if self.length < 3:
            raise ValueError(f"a row is [CLS], a token and [SEP], got {self.length}.")

    def row(self, seed: int, number: int) -> Row:
        """Returns row `number` of the endless list of rows of `seed`.

        It starts at a uniformly drawn text, and wraps around from the last text to the
        first.
        """
        rng = _pools.generator(seed, number, stream=2)
        start = _pools.uniform(rng, self.first, self.last - 1)
        row, _ = self._from(start, self.last - self.first)
        return row

    def rows(self) -> Iterator[Row]:
        """Iterates over the rows of all texts in order; the last row may be short."""
        start = self.first
        while start < self.last:
            row, num = self._from(start, self.last - start)
            yield row
            start += num

    def _from(self, start: int, most: int) -> tuple[Row, int]:
        """Packs a row of up to `most` texts from `start`, and counts its texts."""
        tokenizer = self.tokenizer
        ids, words = [tokenizer.cls_token_id], [-1]
        num = num_words = 0
        while num < most and len(ids) < self.length - 1:
            texts = self._texts(start + num, most - num, self.length - len(ids))
            encoded = tokenizer(
                texts,
                add_special_tokens=False,
                return_attention_mask=False,
                return_token_type_ids=False,
                truncation=True,
                max_length=self.length,
                verbose=False,
            )
            for i in range(len(texts)):
                if len(ids) >= self.length - 1:
                    break
                ids += [*encoded["input_ids"][i], tokenizer.sep_token_id]
                text_words = [
                    -1 if w is None else w + num_words for w in encoded.word_ids(i)
                ]
                num_words = max([num_words, *(w + 1 for w in text_words)])
                words += [*text_words, -1]
                num += 1
        self.index.release()
        ids = np.array(ids[: self.length], np.int32)
        words = np.array(words[: self.length], np.int32)
        ids[-1], words[-1] = tokenizer.sep_token_id, -1
        return Row(ids, words), num

    def _texts(self, start: int, most: int, num_tokens: int) -> list[str]:
        """Reads up to `most` texts, about `num_tokens` tokens together."""
        texts: list[str] = []
        num_characters = _CHARACTERS * num_tokens
        while len(texts) < most and num_characters > 0:
            offset = start + len(texts) - self.first
            text = self.index.text(self.first + offset % (self.last - self.first))
            texts.append(text)
            num_characters -= len(text)
        return texts
