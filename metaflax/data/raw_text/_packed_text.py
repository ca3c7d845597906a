"""Rows of so many tokens, packed with one text after the other."""

import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from metaflax.data.on_disk._text_index import TextIndex
from metaflax.data.samplers import _pools

# Characters that are read ahead for each token that is wanted.
_CHARACTERS = 6


class Row(NamedTuple):
    """Tokens of several texts, `[CLS] text [SEP] text [SEP]`.

    Attributes:
      ids: int32 `[L]`, or fewer where there is no more text.
      words: int32 like `ids`, a number that the pieces of one word share; -1 of special
        tokens.
    """

    ids: np.ndarray
    words: np.ndarray


@dataclasses.dataclass(frozen=True)
class PackedText:
    """Rows out of a stretch of an indexed text, tokenized as they are asked for.

    A row begins at a text and goes on with those after it until not one token more
    fits; its last text is cut, and of a text longer than a row its first tokens stay.

    Attributes:
      index: the text.
      tokenizer: a fast tokenizer of Hugging Face, of a BERT.
      length: L, tokens of a row.
      first: the first text of the stretch.
      last: one more than the last of them.

    Raises:
      ValueError: if there is no text between, or no room for a token.
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
        """Row `number` of the endless list that `seed` names.

        It begins at any of the texts, drawn uniformly, and goes on at the first text
        after the last.
        """
        rng = _pools.generator(seed, number, stream=2)
        start = _pools.uniform(rng, self.first, self.last - 1)
        row, _ = self._from(start, self.last - self.first)
        return row

    def rows(self) -> Iterator[Row]:
        """The rows of all texts in their order, each text once, the last row short."""
        start = self.first
        while start < self.last:
            row, num = self._from(start, self.last - start)
            yield row
            start += num

    def _from(self, start: int, most: int) -> tuple[Row, int]:
        """The row that begins at a text, of so many texts at most, and how many."""
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
                own = [-1 if w is None else w + num_words for w in encoded.word_ids(i)]
                num_words = max([num_words, *(w + 1 for w in own)])
                words += [*own, -1]
                num += 1
        self.index.release()
        ids = np.array(ids[: self.length], np.int32)
        words = np.array(words[: self.length], np.int32)
        ids[-1], words[-1] = tokenizer.sep_token_id, -1
        return Row(ids, words), num

    def _texts(self, start: int, most: int, num_tokens: int) -> list[str]:
        """Texts that have about so many tokens together, at least one."""
        texts: list[str] = []
        wanted = _CHARACTERS * num_tokens
        while len(texts) < most and wanted > 0:
            beyond = start + len(texts) - self.first
            text = self.index.text(self.first + beyond % (self.last - self.first))
            texts.append(text)
            wanted -= len(text)
        return texts
