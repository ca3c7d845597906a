"""K-means clusters as pseudo-labels of unlabelled examples."""

from typing import Any

import numpy as np


def clusters(features: np.ndarray, number: int, seed: int = 0) -> list[int]:
    """Clusters rows by k-means.

    Args:
      features: `[U, D]`.
      number: number of clusters.
      seed: seed of the k-means initialisation.

    Returns:
      The cluster of each row. Clusters are numbered from 0 in order of decreasing size.

    Raises:
      ValueError: if `number` is below 1 or above the number of rows.

    Examples:
      >>> clusters(np.array([[0.0], [9.0], [9.1], [8.9]]), 2)
      [1, 0, 0, 0]

    References:
      Hsu et al., `Unsupervised Learning via Meta-Learning
      <https://arxiv.org/abs/1810.02334>`_, 2019, which builds tasks from such
      pseudo-labels (CACTUs).
    """
    if not 1 <= number <= len(features):
        raise ValueError(
            f"{len(features)} rows do not make {number} clusters; ask for fewer, at"
            " least one, or give more rows."
        )
    from sklearn.cluster import KMeans  # Takes a second to import.

    means: Any = KMeans  # The types inferred of it reject numbers.
    labels = means(number, n_init=10, random_state=seed).fit_predict(features)
    rank = np.empty(number, int)
    sizes = np.bincount(labels, minlength=number)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(number)
    return rank[labels].tolist()
