"""Which words may meet in a masked-word task: those as frequent, or those alike."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from metaflax.data.on_disk._text_index import TextIndex


def frequency_bands(
    index: TextIndex, edges: Sequence[int], words: np.ndarray | None = None
) -> tuple[np.ndarray, ...]:
    """Words in bands of how many sentences they occur in.

    Words of one band are about as frequent, so that how frequent a word is says little
    about which of them was masked.

    Args:
      index: the text.
      edges: rising; a band reaches from one to below the next.
      words: numbers of the words to share out; None for all.

    Returns:
      For each band the numbers of its words, perhaps none.

    Raises:
      ValueError: if edges do not rise, or there are fewer than two.
    """
    if len(edges) < 2 or any(a >= b for a, b in itertools.pairwise(edges)):
        raise ValueError(
            f"the edges of frequency bands are {tuple(edges)}; give two or more rising"
            " numbers of sentences."
        )
    counts = index.words.counts
    if words is None:
        words = np.arange(len(counts))
    band = np.searchsorted(edges, counts[words], "right") - 1
    return tuple(words[band == number] for number in range(len(edges) - 1))


def embedding_clusters(
    vectors: np.ndarray, words: np.ndarray, num_clusters: int, seed: int = 0
) -> tuple[np.ndarray, ...]:
    """Words whose embeddings lie together, by k-means, for harder tasks.

    Args:
      vectors: `[words, D]`, an embedding for each word; only directions count.
      words: their numbers.
      num_clusters: how many clusters.
      seed: where k-means begins.

    Returns:
      For each cluster the numbers of its words, perhaps none.

    Raises:
      ValueError: if there are more clusters than words, or none.

    Examples:
      >>> vectors = np.array([[1.0, 0.1], [0.0, 1.0], [1.0, 0.0], [0.1, 1.0]])
      >>> sorted(c.tolist() for c in embedding_clusters(vectors, np.arange(4), 2))
      [[0, 2], [1, 3]]

    References:
      Bansal et al., `Self-Supervised Meta-Learning for Few-Shot Natural Language
      Classification Tasks <https://arxiv.org/abs/2009.08445>`_, 2020, which clusters
      by BERT's word embeddings too.
    """
    if not 1 <= num_clusters <= len(words):
        raise ValueError(
            f"{len(words)} words do not make {num_clusters} clusters; ask for fewer, or"
            " let more words qualify."
        )
    from sklearn.cluster import MiniBatchKMeans

    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    means: Any = MiniBatchKMeans  # Its annotations know no number.
    means = means(num_clusters, random_state=seed, n_init=3)
    found = means.fit_predict(vectors / np.maximum(lengths, 1e-12))
    return tuple(words[found == number] for number in range(num_clusters))
