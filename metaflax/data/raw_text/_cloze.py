"""Texts with words taken out, and put back others."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from metaflax.data.on_disk._text_index import word_places

# What joins two runs of letters to one word, as in "don't" and "well-known".
_JOINERS = ("'", "’", "-")


class Cloze(NamedTuple):
    """A text, some words of which are to be said by whoever reads the rest.

    Attributes:
      text: the whole text.
      places: where these words lie, `text[start:end]` each, rising.

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
        """The words that were taken out."""
        return tuple(self.text[start:end] for start, end in self.places)

    def filled(self, words: Sequence[str]) -> str:
        """The text with one of `words` in each place, and else as it was."""
        parts, reached = [], 0
        for (start, end), word in zip(self.places, words, strict=True):
            parts += [self.text[reached:start], word]
            reached = end
        return "".join([*parts, self.text[reached:]])


def whole_words(text: str) -> tuple[tuple[int, int], ...]:
    """Where the words of a text lie, `text[start:end]` each.

    Runs of letters and digits that an apostrophe or a hyphen joins are one word.

    Examples:
      >>> text = "Don't (well-known)!"
      >>> [text[start:end] for start, end in whole_words(text)]
      ["Don't", 'well-known']
    """
    found: list[tuple[int, int]] = []
    for start, end in word_places(text):
        if found and text[found[-1][1] : start] in _JOINERS:
            start = found.pop()[0]
        found.append((start, end))
    return tuple(found)


def draw_cloze(
    text: str, rng: np.random.Generator, share: float, most: int | None = None
) -> Cloze:
    """Takes a share of the words out of a text, drawn uniformly, at least one.

    Args:
      text: any text.
      rng: draws.
      share: of the words, above 0.
      most: how many words at the text's beginning may be taken; None for all.

    Returns:
      A `Cloze`, without places where the text has no word.

    Examples:
      >>> rng = np.random.default_rng(0)
      >>> draw_cloze("a b c d e f g h", rng, share=0.25).words
      ('f', 'h')
    """
    places = whole_words(text)[:most]
    if not places:
        return Cloze(text, ())
    count = min(max(round(share * len(places)), 1), len(places))
    chosen = np.sort(rng.choice(len(places), count, replace=False))
    return Cloze(text, tuple(places[number] for number in chosen.tolist()))
