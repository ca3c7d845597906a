"""Effects of words on predictions, by leaving out one word at a time.

Li et al., `Understanding Neural Networks through Representation Erasure
<https://arxiv.org/abs/1612.08220>`_, 2016.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from metaflax.tasks._words import word_spans


def without_each_word(text: str) -> list[tuple[str, str]]:
    """Returns each word of a text and the text without it; empty for a single word.

    Examples:
      >>> without_each_word("it barks")
      [('it', 'barks'), ('barks', 'it')]
    """
    spans = word_spans(text)
    if len(spans) < 2:
        return []
    return [(text[a:b], f"{text[:a]}{text[b:]}".strip()) for a, b in spans]


def word_effects(
    words: Sequence[Sequence[str]], whole: np.ndarray, without: np.ndarray
) -> list[list[dict[str, Any]]]:
    """Computes by how much each word raises the probability of the predicted class.

    Args:
      words: words of each text.
      whole: probabilities of the texts, `[U, N]`.
      without: probabilities of the texts without each word in turn, `[words of all
        texts, N]`.

    Examples:
      >>> whole, without = np.array([[0.9, 0.1]]), np.array([[0.4, 0.6], [0.8, 0.2]])
      >>> word_effects([["parcel", "the"]], whole, without)
      [[{'word': 'parcel', 'effect': 0.5}, {'word': 'the', 'effect': 0.1}]]
    """
    effects, first = [], 0
    for named, row in zip(words, whole, strict=True):
        best = int(row.argmax())
        drops = row[best] - without[first : first + len(named), best]
        first += len(named)
        effects.append(
            [
                {"word": word, "effect": round(float(drop), 6)}
                for word, drop in zip(named, drops, strict=True)
            ]
        )
    return effects
