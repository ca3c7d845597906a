"""Means with 95 % intervals over episodes, folds and seeds."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy


class Interval(NamedTuple):
    """Mean with the half-width of its interval: mean +- half_width.

    Attributes:
      mean: the centre.
      half_width: half the width, not negative.

    Examples:
      >>> from metaflax import evaluation
      >>> interval = evaluation.Interval(0.75, 0.05)
      >>> print(f"{interval.low:.2f} to {interval.high:.2f}")
      0.70 to 0.80
    """

    mean: float
    half_width: float

    @property
    def low(self) -> float:
        """Lower end of the interval."""
        return self.mean - self.half_width

    @property
    def high(self) -> float:
        """Upper end of the interval."""
        return self.mean + self.half_width


def mean_interval(scores: np.ndarray, confidence: float = 0.95) -> Interval:
    """Computes the mean over episodes with Student's t interval.

    Args:
      scores: `[E]`, one score per episode; episodes are drawn independently.
      confidence: probability that such an interval covers the true mean.

    Returns:
      An `Interval`; infinitely wide for a single episode.

    Raises:
      ValueError: if there is no score.

    Examples:
      >>> import numpy as np
      >>> from metaflax.evaluation import mean_interval
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
    width = scipy.stats.t.ppf((1 + confidence) / 2, scores.size - 1) * error
    return Interval(float(scores.mean()), float(width))


def paired_interval(
    before: np.ndarray, after: np.ndarray, confidence: float = 0.95
) -> Interval:
    """Computes the paired interval of `after - before` on one list of episodes.

    Args:
      before: `[E]` scores.
      after: `[E]` scores of the same episodes in the same order.
      confidence: as for `mean_interval`.

    Returns:
      An `Interval`; `low > 0` means that `after` is better.

    Raises:
      ValueError: if the two differ in their number of episodes.

    Examples:
      >>> import numpy as np
      >>> from metaflax import evaluation
      >>> before, after = np.array([0.2, 0.5, 0.8]), np.array([0.3, 0.6, 1.0])
      >>> gain = evaluation.paired_interval(before, after)
      >>> print(f"{gain.mean:.3f} +- {gain.half_width:.3f}")
      0.133 +- 0.143
    """
    before, after = np.asarray(before, np.float64), np.asarray(after, np.float64)
    if before.shape != after.shape:
        raise ValueError(
            f"paired scores are of the same episodes, got {before.shape} and"
            f" {after.shape}."
        )
    return mean_interval(after - before, confidence)


def nested_interval(scores: Sequence[Any], confidence: float = 0.95) -> Interval:
    """Computes the mean over folds or seeds, with an interval that covers new ones.

    A fold counts as one number, the mean of its content, whatever its number of
    episodes, and the interval is Student's over these means. Their spread includes the
    differences between folds and the noise of seeds and episodes within: the interval
    covers the mean over all folds, seeds and episodes that might have been drawn. It is
    wider than an interval over all episodes as if they were independent, which covers
    other episodes of the same folds and seeds only (`stratified_interval`).

    Folds of one data set share classes of meta-training, so that their means are not
    independent: the true coverage is somewhat less than `confidence`.

    Args:
      scores: one entry per fold: the scores `[E]` of its episodes, or nested entries,
        such as one per seed. With a single fold, the next level is the outermost one,
        and the interval covers that level only.
      confidence: probability that such an interval covers the true mean.

    Returns:
      An `Interval`.

    Raises:
      ValueError: if a level is empty.

    Examples:
      >>> import numpy as np
      >>> from metaflax.evaluation import nested_interval
      >>> folds = [np.array([0.7, 0.9]), np.array([0.6, 0.6]), np.array([0.5, 0.9])]
      >>> interval = nested_interval(folds)
      >>> print(f"{interval.mean:.2f} +- {interval.half_width:.2f}")
      0.70 +- 0.25

    References:
      Bengio and Grandvalet, `No Unbiased Estimator of the Variance of K-Fold
      Cross-Validation <https://www.jmlr.org/papers/v5/grandvalet04a.html>`_, 2004.
    """
    if len(scores) == 1 and np.ndim(scores[0]) > 0:
        return nested_interval(scores[0], confidence)
    return mean_interval(np.array([_nested_mean(part) for part in scores]), confidence)


def stratified_interval(
    scores: Sequence[np.ndarray], confidence: float = 0.95
) -> Interval:
    """Computes the mean over folds, with an interval for these folds.

    It covers other episodes of the same folds; `nested_interval` covers other folds and
    seeds too. All folds have the same weight, and each its own variance; the degrees of
    freedom are those of Welch and Satterthwaite.

    Args:
      scores: scores `[E]` of each fold, at least two episodes.
      confidence: probability that such an interval covers the mean over these folds.

    Returns:
      An `Interval`.

    Raises:
      ValueError: if there is no fold, or one has fewer than two episodes.

    Examples:
      >>> import numpy as np
      >>> from metaflax.evaluation import stratified_interval
      >>> folds = np.array([[0.7, 0.8, 0.9], [0.5, 0.6, 0.7], [0.6, 0.7, 0.8]])
      >>> interval = stratified_interval(folds)
      >>> print(f"{interval.mean:.2f} +- {interval.half_width:.2f}")
      0.70 +- 0.08

    References:
      Satterthwaite, `An Approximate Distribution of Estimates of Variance Components
      <https://doi.org/10.2307/3002019>`_, 1946.
    """
    sizes = np.array([len(part) for part in scores])
    if not sizes.size or sizes.min() < 2:
        raise ValueError(
            f"each fold is to have two episodes at least, got {sizes.tolist()}."
        )
    folds = [np.asarray(part, np.float64) for part in scores]
    mean = float(np.mean([fold.mean() for fold in folds]))
    parts = np.array([fold.var(ddof=1) / len(fold) for fold in folds])
    if not parts.any():
        return Interval(mean, 0.0)
    freedom = parts.sum() ** 2 / np.sum(parts**2 / (sizes - 1))
    error = np.sqrt(parts.sum()) / len(folds)
    return Interval(
        mean, float(scipy.stats.t.ppf((1 + confidence) / 2, freedom) * error)
    )


def _nested_mean(scores: Any) -> float:
    """Computes the mean of the means of nested lists."""
    if np.ndim(scores) == 0 and not isinstance(scores, Sequence):
        return float(scores)
    if not len(scores):
        raise ValueError("a fold or seed has no scores; leave it out.")
    return float(np.mean([_nested_mean(part) for part in scores]))
