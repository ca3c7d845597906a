"""Tasks out of texts that nobody has sorted: topics, by the words they share."""

from collections.abc import Sequence
from typing import Any

from metaflax.data.raw_text._clusters import clusters

# The space in which texts lie near to each other that share words.
DIMENSIONS = 50


def topics(texts: Sequence[str], number: int, seed: int = 0) -> list[int]:
    """The topic of each text, by k-means on the frequencies of its words.

    Frequencies are weighed against those of all texts (tf-idf), English words without
    content are passed over, and 50 directions are kept (latent semantic analysis).

    Args:
      texts: to be sorted.
      number: of topics.
      seed: where k-means begins.

    Returns:
      Numbers from 0, which is the topic of most texts.

    Raises:
      ValueError: if there are fewer texts than topics, or no topic, or no words.

    Examples:
      >>> topics(["red green blue", "one two three", "blue red green", "green red"], 2)
      [0, 1, 0, 0]

    References:
      Hsu et al., `Unsupervised Learning via Meta-Learning
      <https://arxiv.org/abs/1810.02334>`_, 2019, which makes tasks by k-means too.
    """
    if not 1 <= number <= len(texts):
        raise ValueError(
            f"{len(texts)} texts do not make {number} topics; ask for fewer, at least"
            " one, or give more texts."
        )
    # Together they take a second to import.
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import Normalizer

    weigh = TfidfVectorizer(stop_words="english", sublinear_tf=True)
    try:
        words: Any = weigh.fit_transform(texts)
    except ValueError as error:  # Nothing but stop words.
        raise ValueError("the texts have no words to sort them by.") from error
    if words.shape[1] == 1:
        raise ValueError("the texts have one word in all, which sorts nothing.")
    # Of unit length again: otherwise a few odd texts make topics of their own.
    place = make_pipeline(
        TruncatedSVD(min(DIMENSIONS, words.shape[1]), random_state=seed), Normalizer()
    )
    return clusters(place.fit_transform(words), number, seed)
