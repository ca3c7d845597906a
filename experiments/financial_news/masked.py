"""SMLMT classes from unlabelled sentences: the masked word is the class.

The model predicts the masked word from the rest of the sentence, as it predicts topics
whose keywords are masked. See Bansal et al., `Self-Supervised Meta-Learning for
Few-Shot Natural Language Classification Tasks <https://arxiv.org/abs/2009.08445>`_,
2020. Departure: a sentence may occur several times, each time with another word masked.
"""

from collections.abc import Sequence

import numpy as np

from metaflax import data

# Maximum number of sentences of a word, so that common words do not dominate.
MOST = 40


def words_of(
    texts: Sequence[str], least: int, most: int = MOST, seed: int = 0
) -> list[tuple[str, str]]:
    """Masks words of sentences; returns pairs of sentence and masked word.

    Args:
      texts: sentences.
      least: minimum number of sentences of a word; stop words are left out too.
      most: maximum number of sentences of a word.
      seed: seed for sampling sentences.

    Returns:
      Sentence and word, word by word, no sentence twice.

    Examples:
      >>> words_of(["The ship sank .", "A ship came in ."], 2)
      [('The … sank .', 'ship'), ('A … came in .', 'ship')]
    """
    from sklearn.feature_extraction.text import CountVectorizer

    count = CountVectorizer(stop_words="english", token_pattern=r"\b[a-z]{3,}\b")
    occurs = count.fit_transform(texts).tocsc()
    rng = np.random.default_rng(seed)
    results: dict[str, str] = {}
    for number, word in enumerate(count.get_feature_names_out()):
        rows = occurs[:, number].nonzero()[0]
        drawn = [texts[row] for row in rng.permutation(rows)[:most]]
        cut = dict.fromkeys(data.masked(text, word, "…") for text in drawn)
        fresh = {text: word for text in cut if text not in results}
        if len(fresh) >= least:
            results |= fresh
    return list(results.items())
