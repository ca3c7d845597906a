"""NDCG and hit rate of a ranked list of candidates."""

import numpy as np
from numpy.typing import ArrayLike


def ndcg_at(scores: ArrayLike, gains: ArrayLike, k: int) -> float:
    r"""Computes the normalised discounted cumulative gain of the k best, 0 to 1.

    .. math::

      \mathrm{DCG@}k = \sum_{p=1}^{k} \frac{g_{(p)}}{\log_2(1 + p)}, \qquad
      \mathrm{NDCG@}k = \mathrm{DCG@}k \,/\, \max \mathrm{DCG@}k,

    where :math:`g_{(p)}` is the gain of the candidate at place p. Candidates of the
    same score share the mean gain of the places they take, which is what a random order
    among them gives on average, so that the order they are listed in does not matter.

    Args:
      scores: `[C]`, of each candidate, the highest first.
      gains: `[C]`, 0 or more: the relevance of each. Grades r often count as
        :math:`2^r - 1`.
      k: number of top places that count.

    Returns:
      NDCG@k; 0 if no candidate has a gain above 0.

    Raises:
      ValueError: if there is no candidate, shapes differ, `k` is not positive, a score
        is not a number, or a gain is negative or not finite.

    Examples:
      >>> from metaflax.metrics import ndcg_at
      >>> gains = [3.0, 1.0, 0.0]
      >>> ndcg_at([0.9, 0.5, 0.1], gains, 2), ndcg_at([0.1, 0.5, 0.9], gains, 1)
      (1.0, 0.0)
      >>> round(ndcg_at([0.0, 0.0, 0.0], gains, 1), 4)  # (3 + 1 + 0) / 3, of 3.
      0.4444

    References:
      Järvelin and Kekäläinen, `Cumulated gain-based evaluation of IR techniques
      <https://doi.org/10.1145/582415.582418>`_, 2002. Equal scores: McSherry and
      Najork, `Computing information retrieval performance measures efficiently in
      the presence of tied scores
      <https://doi.org/10.1007/978-3-540-78646-7_38>`_, 2008.
    """
    scores, gains = _candidates(scores, gains, k)
    if not np.all(np.isfinite(gains) & (gains >= 0)):
        raise ValueError(f"gains are 0 or more, and finite, got {gains.tolist()}.")
    k = min(k, len(scores))
    discounts = 1 / np.log2(np.arange(2, k + 2))
    _, group, sizes = np.unique(-scores, return_inverse=True, return_counts=True)
    shared = np.bincount(group, weights=gains) / sizes  # The best group first.
    best = float(np.sort(gains)[::-1][:k] @ discounts)
    return float(np.repeat(shared, sizes)[:k] @ discounts) / best if best > 0 else 0.0


def hit_at(scores: ArrayLike, relevant: ArrayLike, k: int) -> float:
    """Computes whether a relevant candidate is among the k best: 1 or 0.

    Its mean over lists is the hit rate. A candidate that is not relevant and scores the
    same as a relevant one is taken to come before it, so that a model that cannot tell
    candidates apart gains nothing by their order.

    Args:
      scores: `[C]`, of each candidate, the highest first.
      relevant: `[C]`, whether it is relevant.
      k: number of best candidates that count.

    Returns:
      1.0 or 0.0.

    Raises:
      ValueError: if there is no candidate, shapes differ, `k` is not positive, or a
        score is not a number.

    Examples:
      >>> from metaflax.metrics import hit_at
      >>> hit_at([0.9, 0.5, 0.1], [False, True, True], 1)
      0.0
      >>> hit_at([0.9, 0.5, 0.1], [False, True, True], 2)
      1.0
    """
    scores, relevant = _candidates(scores, relevant, k)
    relevant = relevant > 0
    if not relevant.any():
        return 0.0
    ahead = np.sum(scores[~relevant] >= scores[relevant].max())
    return float(ahead < k)


def _candidates(
    scores: ArrayLike, worth: ArrayLike, k: int
) -> tuple[np.ndarray, np.ndarray]:
    scores, worth = np.asarray(scores, np.float64), np.asarray(worth, np.float64)
    if scores.ndim != 1 or scores.shape != worth.shape or not len(scores):
        raise ValueError(
            "scores and what candidates are worth are [C], of one at least, got"
            f" {list(scores.shape)} and {list(worth.shape)}."
        )
    if k < 1:
        raise ValueError(f"one place at least is looked at, got k={k}.")
    if np.isnan(scores).any():
        raise ValueError("a score is not a number; give -inf to what comes last.")
    return scores, worth
