"""Means with 95 % intervals over episodes."""

from typing import NamedTuple

import numpy as np
from scipy import stats


class Interval(NamedTuple):
    """A mean and half the width of its interval: mean +- half_width."""

    mean: float
    half_width: float

    @property
    def low(self) -> float:
        """The lower end."""
        return self.mean - self.half_width

    @property
    def high(self) -> float:
        """The upper end."""
        return self.mean + self.half_width


def mean_interval(scores: np.ndarray, confidence: float = 0.95) -> Interval:
    """The mean over episodes with Student's t interval.

    Args:
      scores: `[E]`, one score an episode; episodes are drawn independently.
      confidence: how often such an interval covers the true mean.

    Returns:
      An `Interval`; infinitely wide for a single episode.

    Raises:
      ValueError: if there is no score.

    Examples:
      >>> interval = mean_interval(np.array([0.0, 1.0, 1.0, 1.0]))
      >>> print(f"{interval.mean:.2f} +- {interval.half_width:.2f}")
      0.75 +- 0.80
    """
    scores = np.asarray(scores, np.float64)
    if scores.ndim != 1 or not scores.size:
        raise ValueError(f"scores are [E], at least one, got shape {scores.shape}.")
    if scores.size == 1:
        return Interval(float(scores[0]), float("inf"))
    error = scores.std(ddof=1) / np.sqrt(scores.size)
    width = stats.t.ppf((1 + confidence) / 2, scores.size - 1) * error
    return Interval(float(scores.mean()), float(width))


def paired_interval(
    before: np.ndarray, after: np.ndarray, confidence: float = 0.95
) -> Interval:
    """The interval of `after - before` on one list of episodes.

    Args:
      before: `[E]` scores.
      after: `[E]` scores of the same episodes in the same order.
      confidence: as for `mean_interval`.

    Returns:
      An `Interval`; `low > 0` says that `after` is better.

    Raises:
      ValueError: if the two differ in their number of episodes.
    """
    before, after = np.asarray(before, np.float64), np.asarray(after, np.float64)
    if before.shape != after.shape:
        raise ValueError(
            f"paired scores are of the same episodes, got {before.shape} and"
            f" {after.shape}."
        )
    return mean_interval(after - before, confidence)
