"""Out-of-scope detection: AUROC and false positive rate at a given recall."""

import numpy as np
from numpy.typing import ArrayLike


def auroc(inside: ArrayLike, outside: ArrayLike) -> float:
    """Computes the area under the ROC curve of in-scope against out-of-scope scores.

    Args:
      inside: scores `[U]` of texts of the classes, higher is more in scope.
      outside: scores `[V]` of texts of none of them.

    Returns:
      The share of pairs in the right order, ties counted half: 1 where scores
      separate the two perfectly, 0.5 where they are uninformative.

    Raises:
      ValueError: if there are no scores of either, or one is no number.

    Examples:
      >>> from metaflax.metrics import auroc
      >>> auroc([0.9, 0.8, 0.4], [0.5, 0.4])  # 4 pairs and a tie of 6.
      0.75

    References:
      Hendrycks and Gimpel, `A Baseline for Detecting Misclassified and
      Out-of-Distribution Examples in Neural Networks
      <https://arxiv.org/abs/1610.02136>`_, 2017.
    """
    inside, outside = _scores(inside, outside)
    rising = np.sort(outside)
    below = np.searchsorted(rising, inside, side="left")
    not_above = np.searchsorted(rising, inside, side="right")
    return float(np.mean(below + not_above) / (2 * len(outside)))


def false_positives_at(
    inside: ArrayLike, outside: ArrayLike, recall: float = 0.95
) -> float:
    """Computes the false positive rate at the threshold that reaches a given recall.

    Args:
      inside: scores `[U]` of texts of the classes, higher is more in scope.
      outside: scores `[V]` of texts of none of them.
      recall: the least share of `inside` that reaches the threshold.

    Returns:
      The share of `outside` that reaches the highest such threshold: 0 is best.

    Raises:
      ValueError: if there are no scores of either, or one is no number, or the recall
        is not above 0 and at most 1.

    Examples:
      >>> from metaflax.metrics import false_positives_at
      >>> false_positives_at([0.9, 0.8, 0.4], [0.5, 0.3], recall=0.6)  # Threshold 0.8.
      0.0
      >>> false_positives_at([0.9, 0.8, 0.4], [0.5, 0.3])  # Threshold 0.4.
      0.5

    References:
      Hendrycks and Gimpel, `A Baseline for Detecting Misclassified and
      Out-of-Distribution Examples in Neural Networks
      <https://arxiv.org/abs/1610.02136>`_, 2017; Liang et al., `Enhancing the
      Reliability of Out-of-Distribution Image Detection in Neural Networks
      <https://arxiv.org/abs/1706.02690>`_, 2018, which takes 95 %.
    """
    inside, outside = _scores(inside, outside)
    if not 0 < recall <= 1:
        raise ValueError(f"recall is {recall}; give a share above 0 and at most 1.")
    # Less a rounding error, so that 0.95 of 20 are 19.
    num_inside = int(np.ceil(recall * len(inside) - 1e-9))
    threshold = np.sort(inside)[::-1][num_inside - 1]
    return float(np.mean(outside >= threshold))


def _scores(inside: ArrayLike, outside: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    both = np.asarray(inside, np.float64), np.asarray(outside, np.float64)
    if any(part.ndim != 1 or not part.size or np.isnan(part).any() for part in both):
        raise ValueError(
            "detection is of scores [U] inside and [V] outside, at least one of each"
            f" and all of them numbers, got {list(both[0].shape)} and"
            f" {list(both[1].shape)}."
        )
    return both
