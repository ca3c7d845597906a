"""Distinct-n of generated texts."""

from collections.abc import Sequence

from metaflax.metrics import _texts


def distinct(predictions: Sequence[str], n: int) -> float:
    """Computes distinct-n: distinct n-grams over all n-grams of all texts, 0 to 1.

    Words are what white space separates, and no n-gram reaches from one text into the
    next. More text has a lower score by nature: compare sets of alike size only.

    Args:
      predictions: generated texts; may be empty strings.
      n: how many words an n-gram has, 1 or 2 in the paper.

    Returns:
      The ratio; 0 where no text has n words.

    Raises:
      ValueError: if there are no texts or `n` is not positive.

    Examples:
      >>> from metaflax.metrics import distinct
      >>> distinct(["i do not know", "i do not"], 1)
      0.5714285714285714
      >>> distinct(["i do not know", "i do not"], 2)
      0.6

    References:
      Li et al., `A Diversity-Promoting Objective Function for Neural Conversation
      Models <https://arxiv.org/abs/1510.03055>`_, 2016.
    """
    if n < 1:
        raise ValueError(f"an n-gram has one word at least, got n={n}.")
    texts = [text.split() for text in _texts.listed(predictions)]
    grams = [
        tuple(words[i : i + n]) for words in texts for i in range(len(words) - n + 1)
    ]
    return len(set(grams)) / max(len(grams), 1)
