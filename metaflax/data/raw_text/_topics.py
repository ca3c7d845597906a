"""Topics of unlabelled texts by latent semantic analysis and k-means."""

from collections.abc import Sequence
from typing import Any

from metaflax.data.raw_text._clusters import clusters

# Dimensions of the latent semantic space.
DIMENSIONS = 50


def topics(texts: Sequence[str], number: int, seed: int = 0) -> list[int]:
    """Assigns a topic to each text by k-means on its tf-idf features.

    English stop words are left out, and the features are projected to 50 dimensions
    (latent semantic analysis).

    Args:
      texts: the texts to cluster.
      number: number of topics.
      seed: seed of the projection and of the k-means initialisation.

    Returns:
      The topic of each text. Topics are numbered from 0 in order of decreasing size.

    Raises:
      ValueError: if `number` is below 1 or above the number of texts, or the texts have
        fewer than two distinct words.

    Examples:
      >>> from metaflax.data import topics
      >>> topics(["red green blue", "one two three", "blue red green", "green red"], 2)
      [0, 1, 0, 0]

    References:
      Hsu et al., `Unsupervised Learning via Meta-Learning
      <https://arxiv.org/abs/1810.02334>`_, 2019, which builds tasks by k-means too.
    """
    if not 1 <= number <= len(texts):
        raise ValueError(
            f"{len(texts)} texts do not make {number} topics; ask for fewer, at least"
            " one, or give more texts."
        )
    # These imports take a second together.
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import Normalizer

    vectorizer = TfidfVectorizer(stop_words="english", sublinear_tf=True)
    try:
        features: Any = vectorizer.fit_transform(texts)
    except ValueError as error:  # There are only stop words.
        raise ValueError("the texts have no words to sort them by.") from error
    if features.shape[1] == 1:
        raise ValueError("the texts have one word in all, which sorts nothing.")
    # Normalised again: otherwise a few outliers make up topics.
    projection = make_pipeline(
        TruncatedSVD(min(DIMENSIONS, features.shape[1]), random_state=seed),
        Normalizer(),
    )
    return clusters(projection.fit_transform(features), number, seed)
