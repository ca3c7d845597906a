"""Words that a masked language model predicts in the gaps of texts."""

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
from metaflax.data.raw_text._cloze import whole_words
from metaflax.data.raw_text._masking import ordinary_tokens
from metaflax.models.families._registry import load_masked_lm
from metaflax.workflows.runs._load_model import locate_model

# Largest batch, in texts and in masks; each mask has logits over the vocabulary.
MAX_TEXTS, MAX_MASKS = 64, 256


class Offer(NamedTuple):
    """Most likely words for the gaps of one text.

    Attributes:
      numbers: int32 `[n, k]`, indices into `WordFiller.words` for each of n gaps.
      logits: float32 `[n, k]`, in descending order.
    """

    numbers: np.ndarray
    logits: np.ndarray


class WordFiller:
    """Predicts whole words of a model's vocabulary for masked words of texts.

    Each mask is filled by a word of one token, since word pieces that are sampled
    independently do not form words.

    Args:
      source: directory or hub name of a masked language model.
      most_masks: `most_masks(L)`, the largest number of masks of a text of L tokens.
      max_length: largest number of tokens of a text; masks beyond are ignored.

    Raises:
      ValueError: if there is no such model, or its vocabulary has no words.
    """

    def __init__(
        self,
        source: str | Path,
        most_masks: Callable[[int], int],
        max_length: int = 128,
    ):
        pretrained = load_masked_lm(locate_model(source))
        family = pretrained.family
        if "head" not in pretrained.params:
            raise ValueError(
                f"{source}: has no output layer for masked words; train one by"
                f" `metaflax pretrain --model {source} --text FILE --run-dir DIR`, and"
                " name DIR/model."
            )
        self.tokenizer = pretrained.tokenizer()
        if self.tokenizer.mask_token_id is None:
            raise ValueError(f"{source}: the tokenizer has no mask token.")
        self.max_length = min(
            max_length,
            family.max_positions(pretrained.config),
            self.tokenizer.model_max_length,
        )
        ids, self.words = _whole_words(self.tokenizer)
        if not self.words:
            raise ValueError(f"{source}: no token of its vocabulary is a whole word.")
        spellings = collections.Counter(word.casefold() for word in self.words)
        self.most_alike = max(spellings.values())  # Most spellings of one word.
        self._most_masks = most_masks
        self._params = jax.device_put(pretrained.params)
        self._top_words = functools.partial(
            jax.jit(_top_words, static_argnums=(0, 4)),
            family.require_masked_lm().network(pretrained.config).apply,
        )
        self._ids = jnp.asarray(ids)

    def offers(self, texts: Sequence[str], num: int) -> list[Offer]:
        """Predicts the `num` most likely words for each mask of each text.

        Args:
          texts: texts with masks.
          num: k; at most the number of words in the vocabulary.

        Returns:
          An `Offer` for each text, with as many gaps as it has masks within
          `max_length`.
        """
        tokenized, counts = self._marked(texts)
        offers: dict[int, Offer] = {}
        num = min(num, len(self.words))
        for rows, tokens in self._batches(tokenized):
            top = self._top_words(self._params, tokens, self._ids, num)
            logits, numbers = map(np.asarray, top)  # [B, P, k]
            for place, row in enumerate(rows):
                gaps = min(counts[row], logits.shape[1])
                offers[row] = Offer(numbers[place, :gaps], logits[place, :gaps])
        return [offers[row] for row in range(len(texts))]

    def read_as(self, words: Sequence[str]) -> list[str]:
        """Normalizes words as the tokenizer does, which may drop case and accents."""
        if not words:
            return []
        ids = self.tokenizer(list(words), add_special_tokens=False)["input_ids"]
        return self.tokenizer.batch_decode(ids)

    def _marked(self, texts: Sequence[str]) -> tuple[data.TokenizedTexts, list[int]]:
        """Tokenizes texts, marks their masks, and counts the masks of each."""
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
        """Yields batches of like length, so that shapes are few and padding little."""
        buckets = data.Buckets.up_to(self.max_length)
        by_length: dict[int, list[int]] = collections.defaultdict(list)
        for row, length in enumerate(tokenized.lengths.tolist()):
            by_length[buckets.length(length)].append(row)
        for length, rows in sorted(by_length.items()):
            most = self._most_masks(length)
            size = max(min(MAX_TEXTS, MAX_MASKS // most), 1)
            for first in range(0, len(rows), size):
                part = rows[first : first + size]
                tokens = data.collate_texts(
                    tokenized, part, size, data.Buckets((length,)), pack=False
                )
                marks = np.asarray(tokens.marks)[:, :most]
                yield part, tokens._replace(marks=marks)


def _top_words(
    apply_fn: Any, params: Any, tokens: models.Tokens, ids: jax.Array, num: int
):
    logits = apply_fn(params, tokens, None)  # [B, P, V]
    return jax.lax.top_k(jnp.take(logits, ids, axis=-1), num)


def _whole_words(tokenizer: Any) -> tuple[np.ndarray, tuple[str, ...]]:
    """Returns the tokens that are whole words, and these words."""
    ids = ordinary_tokens(tokenizer)
    names = tokenizer.batch_decode(ids[:, None])
    # A piece that continues a word is tokenized differently by itself.
    again = tokenizer(names, add_special_tokens=False)["input_ids"]
    kept = [
        number
        for number, (name, pieces) in enumerate(zip(names, again, strict=True))
        if pieces == [ids[number]] and whole_words(name) == ((0, len(name)),)
    ]
    return ids[kept], tuple(names[number] for number in kept)
