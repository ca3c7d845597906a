"""Cloze infilling: texts with some words blanked out and filled in again."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from metaflax.data.on_disk._text_index import word_places

# Characters that join two runs of letters into one word: "don't", "well-known".
_JOINERS = ("'", "’", "-")


class Cloze(NamedTuple):
    """Text with blanked words, which a model predicts from the rest.

    Attributes:
      text: the whole text.
      places: the spans of the blanked words, `text[start:end]` each, in order.

    Examples:
      >>> cloze = Cloze("the dog barks", ((4, 7),))
      >>> cloze.words, cloze.filled(["[MASK]"]), cloze.filled(["fox"])
      (('dog',), 'the [MASK] barks', 'the fox barks')

    References:
      Taylor, Cloze Procedure: A New Tool for Measuring Readability, Journalism
      Quarterly 30, 1953.
    """

    text: str
    places: tuple[tuple[int, int], ...]

    @property
    def words(self) -> tuple[str, ...]:
        """The blanked words."""
        return tuple(self.text[start:end] for start, end in self.places)

    def filled(self, words: Sequence[str]) -> str:
        """Fills each blank with one of `words`."""
        parts, position = [], 0
        for (start, end), word in zip(self.places, words, strict=True):
            parts += [self.text[position:start], word]
            position = end
        return "".join([*parts, self.text[position:]])


def whole_words(text: str) -> tuple[tuple[int, int], ...]:
    """Finds the spans of the words of a text, `text[start:end]` each.

    Runs of letters and digits joined by an apostrophe or a hyphen are one word.

    Examples:
      >>> text = "Don't (well-known)!"
      >>> [text[start:end] for start, end in whole_words(text)]
      ["Don't", 'well-known']
    """
    spans: list[tuple[int, int]] = []
    for start, end in word_places(text):
        if spans and text[spans[-1][1] : start] in _JOINERS:
            start = spans.pop()[0]
        spans.append((start, end))
    return tuple(spans)


def draw_cloze(
    text: str, rng: np.random.Generator, share: float, most: int | None = None
) -> Cloze:
    """Blanks out a random share of the words of a text, at least one.

    Args:
      text: any text.
      rng: source of randomness.
      share: share of the words to blank out, above 0.
      most: only words among the first `most` may be blanked out; None for all.

    Returns:
      A `Cloze`, without places if the text has no word.

    Examples:
      >>> rng = np.random.default_rng(0)
      >>> draw_cloze("a b c d e f g h", rng, share=0.25).words
      ('f', 'h')
    """
    spans = whole_words(text)[:most]
    if not spans:
        return Cloze(text, ())
    count = min(max(round(share * len(spans)), 1), len(spans))
    indices = np.sort(rng.choice(len(spans), count, replace=False))
    return Cloze(text, tuple(spans[index] for index in indices.tolist()))
