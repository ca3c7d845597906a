"""One-sided CUSUM control charts of the shares of classes in a stream of texts.

Texts are taken in groups of a fixed size. A chart adds up how far the mean probability
of a class in a group exceeds its usual level, and gives an alarm above a threshold.
"""

import bisect
from typing import NamedTuple

import numpy as np

# Allowance of the CUSUM in standard deviations of a group's mean: half of the smallest
# shift that is worth an alarm.
ALLOWANCE = 0.5
THRESHOLDS = np.arange(0.5, 60.0, 0.25)
# Number of simulated streams that a threshold is chosen on, and of their groups.
NUM_STREAMS, NUM_GROUPS = 100, 400


class Chart(NamedTuple):
    """Control chart of one class.

    Attributes:
      level: usual mean of the probability.
      deviation: usual standard deviation of the probability of one text.
      threshold: value of the statistic above which there is an alarm.

    References:
      Page, `Continuous Inspection Schemes
      <https://doi.org/10.1093/biomet/41.1-2.100>`_, Biometrika 1954.
    """

    level: float
    deviation: float
    threshold: float

    def excess(self, mean: float, size: int) -> float:
        """Computes a group's mean less the level, in standard errors of the mean."""
        return (mean - self.level) / (self.deviation / size**0.5)

    def next(self, statistic: float, mean: float, size: int) -> float:
        """Returns the statistic after a group of texts."""
        return max(0.0, statistic + self.excess(mean, size) - ALLOWANCE)


def fit(past: np.ndarray, size: int, rate: float, *, seed: int = 0) -> Chart:
    """Fits a chart to probabilities of usual texts, which need no labels.

    The level of the usual texts is an estimate. To account for its error, each stream
    that the threshold is chosen on is drawn from another resample of these texts: the
    fewer they are, the higher is the threshold.

    Args:
      past: `[U]`, probabilities of the class.
      size: number of texts of a group.
      rate: largest number of false alarms per group.
      seed: seed of the streams.

    Returns:
      The chart with the lowest threshold whose rate on these streams is at most `rate`.

    Raises:
      ValueError: if all probabilities are equal, or no threshold has so few alarms.

    Examples:
      >>> past = np.random.default_rng(0).beta(1, 8, 1000)
      >>> chart = fit(past, size=20, rate=0.01)
      >>> chart.next(0.0, mean=chart.level, size=20)
      0.0
      >>> chart.next(0.0, mean=0.5, size=20) > chart.threshold
      True
    """
    level, deviation = float(past.mean()), float(past.std())
    if not deviation:
        raise ValueError("all usual texts have the same probability of it")
    rng = np.random.default_rng(seed)
    samples = rng.choice(past, (NUM_STREAMS, len(past)))
    means = np.stack(
        [rng.choice(sample, (NUM_GROUPS, size)).mean(axis=-1) for sample in samples]
    )
    excess = (means - level) / (deviation / size**0.5)
    # The higher the threshold, the fewer the alarms.
    number = bisect.bisect_left(
        THRESHOLDS, -rate, key=lambda h: -cusum(excess, h)[1].mean()
    )
    if number == len(THRESHOLDS):
        raise ValueError(
            f"no threshold up to {THRESHOLDS[-1]:.1f} has at most {rate:g} false alarms"
            " per group"
        )
    return Chart(level, deviation, float(THRESHOLDS[number]))


def cusum(
    excess: np.ndarray, threshold: float | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Computes statistics and alarms of whole streams.

    Args:
      excess: `[..., G]`, how far each group exceeds the usual level.
      threshold: threshold of each stream, `[...]`.

    Returns:
      The statistic, and whether it gave an alarm, `[..., G]` each. An alarm resets the
      statistic.
    """
    statistic, alarms = np.zeros(excess.shape), np.zeros(excess.shape, bool)
    now = np.zeros(excess.shape[:-1])
    for group in range(excess.shape[-1]):
        now = np.maximum(0.0, now + excess[..., group] - ALLOWANCE)
        statistic[..., group] = now
        alarms[..., group] = now > threshold
        now = np.where(alarms[..., group], 0.0, now)
    return statistic, alarms
