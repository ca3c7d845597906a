"""Groups of words for masked-word tasks, by frequency or by embedding."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from metaflax.data.on_disk._text_index import TextIndex


def frequency_bands(
    index: TextIndex, edges: Sequence[int], words: np.ndarray | None = None
) -> tuple[np.ndarray, ...]:
    r"""Groups words into bands by the number of sentences that they occur in.

    Words of one band have similar frequencies, so that frequency reveals little about
    which of them was masked.

    Args:
      index: the indexed text.
      edges: increasing numbers of sentences; a band is from one edge to below the next.
      words: int `[W]`, indices of the words to group; None for all.

    Returns:
      For each band the indices of its words, int `[words]`, which may be none.

    Raises:
      ValueError: if the edges are not increasing, or there are fewer than two.

    Examples:
      >>> import pathlib, tempfile
      >>> from metaflax import data
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = pathlib.Path(folder) / "pets.txt"
      ...     _ = path.write_text("a dog barks\na dog sleeps\na cat sleeps\n")
      ...     index = data.index_texts(path, cache_dir=folder)
      ...     bands = data.frequency_bands(index, [2, 3, 4])
      ...     for band in bands:
      ...         print([index.words.names[word] for word in band])
      ['dog', 'sleeps']
      ['a']
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
    """Clusters words by k-means on their embeddings, for harder tasks.

    Args:
      vectors: `[words, D]`, the embedding of each word; they are normalised.
      words: indices of the words.
      num_clusters: number of clusters.
      seed: seed of the k-means initialisation.

    Returns:
      The indices of the words of each cluster, which may be empty.

    Raises:
      ValueError: if `num_clusters` is below 1 or above the number of words.

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
    means: Any = MiniBatchKMeans  # The types inferred of it reject numbers.
    means = means(num_clusters, random_state=seed, n_init=3)
    labels = means.fit_predict(vectors / np.maximum(lengths, 1e-12))
    return tuple(words[labels == number] for number in range(num_clusters))
