"""Groups of things that lie together, as classes of those that nobody labelled."""

from typing import Any

import numpy as np


def clusters(features: np.ndarray, number: int, seed: int = 0) -> list[int]:
    """The cluster of each row, by k-means.

    Args:
      features: `[U, D]`.
      number: of clusters.
      seed: where k-means begins.

    Returns:
      Numbers from 0, which is the cluster of most rows.

    Raises:
      ValueError: if there are fewer rows than clusters, or no cluster.

    Examples:
      >>> clusters(np.array([[0.0], [9.0], [9.1], [8.9]]), 2)
      [1, 0, 0, 0]

    References:
      Hsu et al., `Unsupervised Learning via Meta-Learning
      <https://arxiv.org/abs/1810.02334>`_, 2019, which makes classes of what is not
      labelled in this way (CACTUs).
    """
    if not 1 <= number <= len(features):
        raise ValueError(
            f"{len(features)} rows do not make {number} clusters; ask for fewer, at"
            " least one, or give more rows."
        )
    from sklearn.cluster import KMeans  # A second to import.

    means: Any = KMeans  # Its annotations know no number.
    found = means(number, n_init=10, random_state=seed).fit_predict(features)
    rank = np.empty(number, int)
    sizes = np.bincount(found, minlength=number)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(number)
    return rank[found].tolist()
