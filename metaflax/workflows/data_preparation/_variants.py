"""Variants of texts: words replaced by samples of a masked language model."""

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from metaflax.data.raw_text._cloze import Cloze, draw_cloze, whole_words
from metaflax.workflows.data_preparation._word_filler import Offer, WordFiller

# Number of samples before a duplicate variant is given up.
TRIES = 10


class Replacing(NamedTuple):
    """Settings of word replacement.

    Attributes:
      variants: number K of variants of each text.
      share: share of a text's words that a variant replaces, at least one word.
      temperature: sampling temperature.
      top_k: number of most probable words to sample from.
      max_length: largest number of tokens of a text; words beyond stay as they are.
      seed: seed for choosing the words and sampling their replacements.

    Examples:
      >>> from metaflax import workflows
      >>> replacing = workflows.Replacing(share=0.5)
      >>> replacing.most_masks(9), replacing.most_masks(1)
      (4, 1)
      >>> workflows.Replacing(share=1.5).check()
      Traceback (most recent call last):
        ...
      ValueError: share is 1.5; give above 0 to 1.
    """

    variants: int = 4
    share: float = 0.15
    temperature: float = 1.0
    top_k: int = 20
    max_length: int = 128
    seed: int = 0

    def check(self) -> None:
        """Checks the settings.

        Raises:
          ValueError: naming a setting that is out of its range.
        """
        counts = {"variants": self.variants, "top_k": self.top_k}
        for name, count in counts.items():
            if count < 1:
                raise ValueError(f"{name} is {count}; give 1 or more.")
        if self.max_length < 3:
            raise ValueError(f"max_length is {self.max_length}; give 3 or more.")
        if not 0 < self.share <= 1:
            raise ValueError(f"share is {self.share}; give above 0 to 1.")
        if not self.temperature > 0:
            raise ValueError(f"temperature is {self.temperature}; give above 0.")
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}; give 0 or more.")

    def most_masks(self, length: int) -> int:
        """Returns the largest number of replaced words of a text by its tokens."""
        return max(round(self.share * length), 1)


def variants_of(
    texts: Sequence[str], filler: WordFiller, replacing: Replacing, first: int = 0
) -> list[list[str]]:
    """Samples variants of texts.

    Args:
      texts: the texts.
      filler: masked language model that proposes words.
      replacing: settings of word replacement.
      first: index of the first text, which enters the seed of each text.

    Returns:
      For each text up to K distinct variants.
    """
    rngs = [_generator(replacing.seed, first + n) for n in range(len(texts))]
    clozes = [
        _clozes(text, rng, filler, replacing)
        for text, rng in zip(texts, rngs, strict=True)
    ]
    mask = filler.tokenizer.mask_token
    flat = [cloze for text_clozes in clozes for cloze in text_clozes]
    # Further words, since some may be other spellings of the masked word.
    offers = filler.offers(
        [cloze.filled([mask] * len(cloze.places)) for cloze in flat],
        replacing.top_k + 2 * filler.most_alike,
    )
    masked = sorted({word for cloze in flat for word in cloze.words})
    read_as = dict(zip(masked, filler.read_as(masked), strict=True))
    gapped = (
        Gapped.of(cloze, offer, filler.words, read_as, replacing)
        for cloze, offer in zip(flat, offers, strict=True)
    )
    return [
        _distinct(rng, list(itertools.islice(gapped, len(text_clozes))))
        for rng, text_clozes in zip(rngs, clozes, strict=True)
    ]


class Gapped(NamedTuple):
    """A text with gaps, and the candidate words of each.

    Attributes:
      cloze: text and gaps.
      words: candidate words of each gap, without the replaced one.
      probabilities: the candidates' probabilities.
    """

    cloze: Cloze
    words: list[list[str]]
    probabilities: list[np.ndarray]

    @classmethod
    def of(
        cls,
        cloze: Cloze,
        offer: Offer,
        vocabulary: Sequence[str],
        read_as: Mapping[str, str],
        replacing: Replacing,
    ) -> "Gapped":
        """Takes the gaps within the maximum length with their likeliest words."""
        cloze = cloze._replace(places=cloze.places[: len(offer.numbers)])
        words, probabilities = [], []
        for gone, numbers, logits in zip(
            cloze.words, offer.numbers, offer.logits, strict=True
        ):
            same = {gone.casefold(), read_as[gone].casefold()}
            offered = [vocabulary[int(number)] for number in numbers]
            others = [
                n for n, word in enumerate(offered) if word.casefold() not in same
            ]
            others = others[: replacing.top_k]
            words.append([offered[n] for n in others])
            probabilities.append(_softmax(logits[others] / replacing.temperature))
        return cls(cloze, words, probabilities)

    def draw(self, rng: np.random.Generator) -> str | None:
        """Samples a word for each gap; None for a gap without candidates."""
        if not self.words or not all(self.words):
            return None
        drawn = [
            words[rng.choice(len(words), p=p)]
            for words, p in zip(self.words, self.probabilities, strict=True)
        ]
        return self.cloze.filled(drawn)


def _distinct(rng: np.random.Generator, gapped: Sequence[Gapped]) -> list[str]:
    """Samples a variant of each gapped text, without duplicates."""
    variants: dict[str, None] = {}
    for form in gapped:
        for _ in range(TRIES):
            variant = form.draw(rng)
            if variant is not None and variant not in variants:
                variants[variant] = None
                break
    return list(variants)


def _clozes(
    text: str, rng: np.random.Generator, filler: WordFiller, replacing: Replacing
) -> list[Cloze]:
    if not has_words(text, filler):
        return []
    # Each word has at least one token: words beyond `max_length` are not read.
    most = filler.max_length - 2
    return [
        draw_cloze(text, rng, replacing.share, most) for _ in range(replacing.variants)
    ]


def has_words(text: str, filler: WordFiller) -> bool:
    """Returns whether a text has words to mask and no special tokens."""
    special = any(token in text for token in filler.tokenizer.all_special_tokens)
    return not special and bool(whole_words(text))


def _softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(np.float64(logits) - np.max(logits, initial=-np.inf))
    return weights / weights.sum()


def _generator(seed: int, number: int) -> np.random.Generator:
    """Makes the random generator of one text, independent of its batch."""
    return np.random.Generator(
        np.random.Philox(key=np.array([seed, number], np.uint64))
    )
