"""What a model of masked words holds likely in the gaps of texts."""

import collections
import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metaflax import data, models

# Texts of a batch at most, and masked words, each of which has the whole vocabulary.
MOST_TEXTS, MOST_MASKS = 64, 256


class Offer(NamedTuple):
    """Words for the gaps of one text, the likeliest first.

    Attributes:
      numbers: int32 `[n, k]`, which of `WordFiller.words`, of each of n gaps.
      logits: float32 `[n, k]`, falling.
    """

    numbers: np.ndarray
    logits: np.ndarray


class WordFiller:
    """Offers whole words of a model's vocabulary for masked words of texts.

    Whatever was masked, a mask is one token and what comes in its place a word that is
    one token too: pieces that are drawn apart from each other make no word.

    Args:
      source: directory or hub name of a BERT with the output layer of its pretraining.
      most_masks: `most_masks(L)`, how many masks a text of L tokens has at most.
      max_length: tokens of a text that are read; masks beyond are no gaps.

    Raises:
      ValueError: if there is no such model, or its vocabulary has no words.
    """

    def __init__(
        self,
        source: str | Path,
        most_masks: Callable[[int], int],
        max_length: int = 128,
    ):
        path = data.fetch_minilm() if str(source) == "minilm" else source
        found = models.pretrained.load_masked_lm(path)
        if "head" not in found.params:
            raise ValueError(
                f"{source}: has no output layer for masked words; train one by"
                f" `metaflax pretrain --model {source} --text FILE --run-dir DIR`, and"
                " name DIR/model."
            )
        self.tokenizer = models.pretrained.tokenizer(found.directory)
        if self.tokenizer.mask_token_id is None:
            raise ValueError(f"{source}: the tokenizer has no mask token.")
        self.max_length = min(
            max_length,
            found.config.max_position_embeddings,
            self.tokenizer.model_max_length,
        )
        ids, self.words = _whole_words(self.tokenizer)
        if not self.words:
            raise ValueError(f"{source}: no token of its vocabulary is a whole word.")
        alike = collections.Counter(word.casefold() for word in self.words)
        self.most_alike = max(alike.values())  # In other cases of letters.
        self._most_masks = most_masks
        self._params = jax.device_put(found.params)
        self._likeliest = functools.partial(
            jax.jit(_likeliest, static_argnums=(0, 4)),
            models.masked_lm(found.config).apply,
        )
        self._ids = jnp.asarray(ids)

    def offers(self, texts: Sequence[str], num: int) -> list[Offer]:
        """The `num` likeliest words for each mask of each text.

        Args:
          texts: with masks in them.
          num: k, of which there are fewer where the vocabulary has fewer words.

        Returns:
          An `Offer` of each, of as many gaps as masks were read.
        """
        tokenized, counts = self._marked(texts)
        found: dict[int, Offer] = {}
        num = min(num, len(self.words))
        for rows, tokens in self._batches(tokenized):
            offered = self._likeliest(self._params, tokens, self._ids, num)
            logits, numbers = map(np.asarray, offered)  # [B, P, k]
            for place, row in enumerate(rows):
                gaps = min(counts[row], logits.shape[1])
                found[row] = Offer(numbers[place, :gaps], logits[place, :gaps])
        return [found[row] for row in range(len(texts))]

    def read_as(self, words: Sequence[str]) -> list[str]:
        """How the tokenizer has words, without case or accents if it drops these."""
        if not words:
            return []
        ids = self.tokenizer(list(words), add_special_tokens=False)["input_ids"]
        return self.tokenizer.batch_decode(ids)

    def _marked(self, texts: Sequence[str]) -> tuple[data.TokenizedTexts, list[int]]:
        """Texts as tokens whose marks are their masks, and how many each has."""
        tokenized = data.tokenize(
            self.tokenizer, texts, max_length=self.max_length, on_long="truncate"
        )
        mask = self.tokenizer.mask_token_id
        masks = [np.flatnonzero(ids == mask) for ids in tokenized]
        most = self._most_masks(self.max_length)
        marks = np.zeros((len(texts), most), np.int32)
        for row, places in zip(marks, masks, strict=True):
            row[: len(places)] = places[:most]
        return dataclasses.replace(tokenized, marks=marks), [len(m) for m in masks]

    def _batches(
        self, tokenized: data.TokenizedTexts
    ) -> Iterator[tuple[list[int], models.Tokens]]:
        """Rows of like length together, so that shapes are few and padding little."""
        buckets = data.Buckets.up_to(self.max_length)
        by_length: dict[int, list[int]] = collections.defaultdict(list)
        for row, length in enumerate(tokenized.lengths.tolist()):
            by_length[buckets.length(length)].append(row)
        for length, rows in sorted(by_length.items()):
            most = self._most_masks(length)
            size = max(min(MOST_TEXTS, MOST_MASKS // most), 1)
            for first in range(0, len(rows), size):
                part = rows[first : first + size]
                tokens = data.collate_texts(
                    tokenized, part, size, data.Buckets((length,)), pack=False
                )
                marks = np.asarray(tokens.marks)[:, :most]
                yield part, tokens._replace(marks=marks)


def _likeliest(
    apply_fn: Any, params: Any, tokens: models.Tokens, ids: jax.Array, num: int
):
    logits = apply_fn(params, tokens, None)  # [B, P, V]
    return jax.lax.top_k(jnp.take(logits, ids, axis=-1), num)


def _whole_words(tokenizer: Any) -> tuple[np.ndarray, tuple[str, ...]]:
    """The tokens that are a word from beginning to end, and these words."""
    ids = data.ordinary_tokens(tokenizer)
    names = tokenizer.batch_decode(ids[:, None])
    # A piece that goes on with a word is read otherwise where it stands alone.
    again = tokenizer(names, add_special_tokens=False)["input_ids"]
    chosen = [
        number
        for number, (name, own) in enumerate(zip(names, again, strict=True))
        if own == [ids[number]] and data.whole_words(name) == ((0, len(name)),)
    ]
    return ids[chosen], tuple(names[number] for number in chosen)
