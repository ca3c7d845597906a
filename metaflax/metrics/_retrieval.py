"""Recall@k of retrieval."""

import numpy as np
from numpy.typing import ArrayLike


def recall_at(scores: ArrayLike, targets: ArrayLike, k: int) -> float:
    """Computes the share of queries whose right candidate is among the k best.

    With one right candidate among C this is what the retrieval of responses reports as
    R_C@k, and for k = 1 as 1-of-C accuracy. A candidate that scores the same as the
    right one is taken to come before it, as is one without a number (NaN), so that a
    model that cannot tell candidates apart gains nothing by their order.

    Args:
      scores: `[U, C]`, of each candidate for each query; -inf where there is none.
      targets: `[U]`, the number of the right candidate, 0 to C - 1.
      k: number of best candidates that count.

    Returns:
      The share.

    Raises:
      ValueError: if there are no queries, `k` is not positive, or shapes or numbers of
        candidates do not fit.

    Examples:
      >>> from metaflax.metrics import recall_at
      >>> scores = [[0.1, 0.9, 0.3], [0.5, 0.2, 0.4]]
      >>> recall_at(scores, [1, 2], 1), recall_at(scores, [1, 2], 2)
      (0.5, 1.0)

    References:
      Henderson et al., `Training Neural Response Selection for Task-Oriented Dialogue
      Systems <https://arxiv.org/abs/1906.01543>`_, 2019.
    """
    scores, targets = np.asarray(scores), np.asarray(targets)
    if scores.ndim != 2 or targets.shape != scores.shape[:1] or not len(scores):
        raise ValueError(
            "scores are [U, C] and targets [U], of one query at least, got"
            f" {list(scores.shape)} and {list(targets.shape)}."
        )
    num = scores.shape[1]
    if not np.all((targets >= 0) & (targets < num)):
        raise ValueError(
            f"the right candidates are numbered 0 to {num - 1}, got numbers from"
            f" {targets.min()} to {targets.max()}."
        )
    if k < 1:
        raise ValueError(f"one candidate at least is looked at, got k={k}.")
    right = np.take_along_axis(scores, targets[:, None], axis=1)  # [U, 1]
    places = np.sum(~(scores < right), axis=1)  # Itself among them, so from 1.
    return float(np.mean(places <= k))
