"""Bootstrap intervals over episodes."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import scipy

# Number of episodes drawn at a time, so that memory does not grow with their number.
MOST_DRAWN = 2**22


class Estimate(NamedTuple):
    """Estimate with its interval, which need not be symmetric.

    Attributes:
      value: the estimate.
      low: lower end of the interval.
      high: upper end of the interval.
    """

    value: float
    low: float
    high: float


def same(means: np.ndarray) -> np.ndarray:
    """Returns the means themselves, the identity statistic."""
    return means


def bootstrap_interval(
    scores: np.ndarray,
    statistic: Callable[[np.ndarray], np.ndarray] = same,
    *,
    seed: int = 0,
    num_resamples: int = 10_000,
    confidence: float = 0.95,
) -> Estimate:
    """Computes the percentile bootstrap of a mean over episodes, or of a statistic.

    All E episodes are resampled with replacement; the ends of the interval are
    percentiles over the resamples. It assumes no distribution of the scores, and serves
    ratios and distances too: those of sums over episodes are statistics of means. Like
    any interval over episodes it covers other episodes of the same classes, texts and
    trained weights, and nothing beyond. For few episodes, below about twenty, it is too
    narrow; Student's interval is then better.

    Args:
      scores: `[E]`, one score an episode, or `[E, M]`.
      statistic: `values = statistic(means)`, from means `[R]` or `[R, M]` of R
        resamples to a number for each, `[R]`; resamples with NaN are left out.
      seed: seed of the resamples.
      num_resamples: number of resamples.
      confidence: share of the resamples within the interval.

    Returns:
      An `Estimate`; its value is the statistic of the original episodes.

    Raises:
      ValueError: if there is no score.

    Examples:
      >>> import numpy as np
      >>> from metaflax.evaluation import bootstrap_interval
      >>> won = np.array([0.0, 1.0, 1.0, 1.0])
      >>> print(*bootstrap_interval(won))
      0.75 0.25 1.0

    References:
      Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    scores = np.asarray(scores, np.float64)
    if scores.ndim not in (1, 2) or not len(scores):
        raise ValueError(
            f"scores are [E] or [E, M], of one episode at least, got shape"
            f" {scores.shape}."
        )
    rng = np.random.default_rng(seed)
    values = [
        statistic(counts @ scores / len(scores))
        for counts in _draws(rng, len(scores), num_resamples)
    ]
    margin = (1 - confidence) / 2
    low, high = np.nanquantile(np.concatenate(values), (margin, 1 - margin))
    [value] = statistic(scores.mean(axis=0, keepdims=True))
    return Estimate(float(value), float(low), float(high))


def paired_bootstrap(
    before: np.ndarray,
    after: np.ndarray,
    *,
    seed: int = 0,
    num_resamples: int = 10_000,
    confidence: float = 0.95,
) -> Estimate:
    """Computes the bootstrap interval of `after - before` on one list of episodes.

    Args:
      before: `[E]` scores.
      after: `[E]` scores of the same episodes in the same order.
      seed: as for `bootstrap_interval`.
      num_resamples: as for `bootstrap_interval`.
      confidence: as for `bootstrap_interval`.

    Returns:
      An `Estimate`; `low > 0` means that `after` is better.

    Raises:
      ValueError: if the two differ in their number of episodes.

    Examples:
      >>> import numpy as np
      >>> from metaflax.evaluation import paired_bootstrap
      >>> paired_bootstrap(np.array([0.25, 0.5]), np.array([0.5, 0.75]))
      Estimate(value=0.25, low=0.25, high=0.25)
    """
    before, after = np.asarray(before, np.float64), np.asarray(after, np.float64)
    if before.shape != after.shape:
        raise ValueError(
            f"paired scores are of the same episodes, got {before.shape} and"
            f" {after.shape}."
        )
    return bootstrap_interval(
        after - before, seed=seed, num_resamples=num_resamples, confidence=confidence
    )


def _draws(rng: np.random.Generator, size: int, num: int) -> Iterator[np.ndarray]:
    """Yields counts of each of `size` episodes, `[R, size]`, in `num` resamples."""
    most = max(1, MOST_DRAWN // size)
    for first in range(0, num, most):
        rows = min(most, num - first)
        # Each resample has a range of its own, so that all are counted at once.
        drawn = rng.integers(size, size=(rows, size)) + size * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * size)
        yield counts.reshape(rows, size).astype(np.float64)


def median_interval(values: np.ndarray, confidence: float = 0.95) -> Estimate:
    """Computes the median of independent values, with an interval between two of them.

    It assumes no distribution: the number of values below the true median is binomial.

    Args:
      values: `[E]`, such as seconds of repetitions.
      confidence: least probability that such an interval covers the true median. No
        interval of five values or fewer reaches 95 %; it is then their whole range.

    Returns:
      An `Estimate`.

    Raises:
      ValueError: if there is no value.

    Examples:
      >>> import numpy as np
      >>> from metaflax.evaluation import median_interval
      >>> median_interval(np.arange(1.0, 10.0))
      Estimate(value=5.0, low=2.0, high=8.0)
    """
    values = np.sort(np.asarray(values, np.float64))
    if values.ndim != 1 or not len(values):
        raise ValueError(f"values are [E], at least one, got shape {values.shape}.")
    below = int(scipy.stats.binom.ppf((1 - confidence) / 2, len(values), 0.5))
    place = max(below - 1, 0)
    return Estimate(
        float(np.median(values)), float(values[place]), float(values[-1 - place])
    )
