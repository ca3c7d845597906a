"""Streams of news by day, and a CUSUM control chart of their scores.

Each day has a Poisson number of sentences. A surge multiplies the share of negative
ones. The chart adds up how far the day's mean score exceeds its usual level (CUSUM),
in standard deviations of a quiet day, and gives an alarm above a threshold.
"""

import dataclasses
from typing import NamedTuple

import numpy as np

from metaflax.workflows.watching._control_chart import cusum

THRESHOLDS = np.arange(0.5, 15.0, 0.1)


class Days(NamedTuple):
    """Streams of days.

    Attributes:
      counts: `[R, D]`, number of sentences of each day.
      rows: indices of the sentences, by stream and then by day.
    """

    counts: np.ndarray
    rows: np.ndarray

    def sums(self, scores: np.ndarray) -> np.ndarray:
        """Sums the scores of each day, `[R, D]`."""
        day = np.repeat(np.arange(self.counts.size), self.counts.ravel())
        sums = np.bincount(day, scores[self.rows], minlength=self.counts.size)
        return sums.reshape(self.counts.shape)


def draw_days(
    negative: np.ndarray,
    pool: np.ndarray,
    rng: np.random.Generator,
    *,
    num_streams: int,
    num_days: int,
    news_a_day: float,
    surge_from: int | None = None,
    surge: float = 1.0,
) -> Days:
    """Samples streams, each sentence independently and with replacement.

    Args:
      negative: bool `[U]`, which sentences are negative.
      pool: indices of the sentences that may occur.
      rng: random generator.
      num_streams: number of streams R.
      num_days: number of days D.
      news_a_day: mean number of sentences of a day.
      surge_from: the first day on which the share of negative sentences is `surge`
        times that of the pool; None for never.
      surge: factor on the share of negative sentences in a surge.

    Returns:
      The streams.

    Raises:
      ValueError: if the pool has no negative sentence, or no other, or a surge makes
        a share of more than 1.
    """
    bad, other = pool[negative[pool]], pool[~negative[pool]]
    usual = len(bad) / len(pool)
    if not 0 < usual < 1 or usual * surge > 1:
        raise ValueError(
            f"a share of {usual:.3f} negative sentences cannot be {surge} times as"
            " large; both kinds must occur, and lower the surge where it is too large."
        )
    counts = rng.poisson(news_a_day, (num_streams, num_days))
    share = np.full(num_days, usual)
    if surge_from is not None:
        share[surge_from:] *= surge
    shares = np.repeat(np.tile(share, num_streams), counts.ravel())
    rows = np.where(
        rng.random(len(shares)) < shares,
        rng.choice(bad, len(shares)),
        rng.choice(other, len(shares)),
    )
    return Days(counts, rows)


@dataclasses.dataclass(frozen=True)
class Chart:
    """A one-sided CUSUM chart of scores.

    Attributes:
      level: mean of usual scores.
      deviation: standard deviation of usual scores.
      threshold: threshold of the statistic, above which there is an alarm.

    References:
      Page, `Continuous Inspection Schemes
      <https://doi.org/10.1093/biomet/41.1-2.100>`_, Biometrika 1954.
    """

    level: float
    deviation: float
    threshold: float

    def excess(self, days: Days, scores: np.ndarray) -> np.ndarray:
        """Computes the excess of each day over the usual level, `[R, D]`."""
        spread = self.deviation * np.sqrt(np.maximum(days.counts, 1))
        return (days.sums(scores) - self.level * days.counts) / spread

    def run(self, days: Days, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Computes the statistic and the alarms, `[R, D]` each.

        After an alarm the statistic begins anew.
        """
        return cusum(self.excess(days, scores), self.threshold)


def fit_chart(scores: np.ndarray, pool: np.ndarray, days: Days, rate: float) -> Chart:
    """Fits a chart to scores of a quiet period, without labels.

    Args:
      scores: `[U]`.
      pool: indices of the sentences of the past.
      days: quiet streams of these sentences.
      rate: maximum rate of false alarms per day.

    Returns:
      The chart with the lowest threshold that does not exceed the rate on these days.

    Raises:
      ValueError: if all scores of the past are alike, or no threshold keeps to it.
    """
    level, deviation = float(scores[pool].mean()), float(scores[pool].std())
    if not deviation:
        raise ValueError("all scores of the past are alike; nothing is to be watched.")
    excess = Chart(level, deviation, np.inf).excess(days, scores)
    every = np.broadcast_to(excess, (len(THRESHOLDS), *excess.shape))
    _, alarms = cusum(every, THRESHOLDS[:, None])
    kept = np.flatnonzero(alarms.mean(axis=(1, 2)) <= rate)
    if not len(kept):
        raise ValueError(
            f"no threshold up to {THRESHOLDS[-1]:.1f} has at most {rate} false alarms a"
            " day; ask for more of them."
        )
    return Chart(level, deviation, float(THRESHOLDS[kept[0]]))


def delays(alarms: np.ndarray, surge_from: int) -> np.ndarray:
    """Counts the days until the first alarm of each surge, 1 for its first day, `[R]`.

    Without an alarm the delay is one day more than the surge has.
    """
    of_surge = alarms[:, surge_from:]
    first = np.argmax(of_surge, axis=1) + 1
    return np.where(of_surge.any(axis=1), first, of_surge.shape[1] + 1)
