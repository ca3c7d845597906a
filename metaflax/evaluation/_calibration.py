"""Calibration over episodes: reliability, calibration error, temperature scaling."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from metaflax import metrics
from metaflax.evaluation._bootstrap import Estimate, bootstrap_interval
from metaflax.evaluation._intervals import Interval, mean_interval
from metaflax.evaluation._shares import share_interval
from metaflax.metrics._calibration import Bins, reliability_bins


class Reliability(NamedTuple):
    """Reliability of predicted probabilities, with intervals.

    Attributes:
      temperature: temperature that divides the logits.
      error: the expected calibration error over all queries, with an interval over
        episodes. Resamples have fewer distinct episodes and so a larger error by
        chance: the interval of a small error is biased upwards.
      log_loss: the mean of `-log p` of the gold class.
      bins: bins of all queries together.
      accuracies: accuracy of each bin, with an interval over episodes; None for an
        empty bin.
    """

    temperature: float
    error: Estimate
    log_loss: Interval
    bins: Bins
    accuracies: list[Estimate | None]


def calibration(
    logits: Sequence[np.ndarray],
    targets: Sequence[np.ndarray],
    temperature: float = 1.0,
    *,
    num_bins: int = 15,
) -> Reliability:
    """Scores the calibration of `softmax(logits / temperature)` over episodes.

    Args:
      logits: logits `[Q, N]` of each of E episodes, very negative for absent classes.
      targets: class numbers `[Q]` of each episode.
      temperature: temperature fitted on other episodes, see `metrics.fit_temperature`.
      num_bins: number of bins of equal width.

    Returns:
      A `Reliability`.

    Raises:
      ValueError: if there are no episodes.

    Examples:
      >>> import numpy as np
      >>> from metaflax.evaluation import calibration
      >>> logits = [np.log([[0.9, 0.1]] * 4)] * 2  # Sure to 90 %, right in 3 of 4.
      >>> result = calibration(logits, [np.array([0, 0, 0, 1])] * 2)
      >>> print(f"{result.error.value:.3f}")
      0.150

    References:
      Guo et al., `On Calibration of Modern Neural Networks
      <https://arxiv.org/abs/1706.04599>`_, 2017.
    """
    bins, losses = [], []
    for episode, true in zip(logits, targets, strict=True):
        probabilities = metrics.softened(episode, temperature)
        bins.append(reliability_bins(probabilities, true, num_bins))
        likely = probabilities[np.arange(len(true)), true]
        losses.append(-np.log(np.maximum(likely, np.finfo(np.float64).tiny)).mean())
    # One row per episode: counts, confidences and hits of its bins.
    rows = np.array([np.concatenate(episode_bins) for episode_bins in bins])
    return Reliability(
        temperature,
        bootstrap_interval(rows, lambda means: _error(means, num_bins)),
        mean_interval(np.array(losses)),
        Bins(*np.split(rows.sum(axis=0), 3)),
        _accuracies(rows, num_bins),
    )


def _error(means: np.ndarray, num_bins: int) -> np.ndarray:
    parts = (means[:, i * num_bins : (i + 1) * num_bins] for i in range(3))
    return metrics.expected_calibration_error(Bins(*parts))


def _accuracies(rows: np.ndarray, num_bins: int) -> list[Estimate | None]:
    counts, rights = rows[:, :num_bins].T, rows[:, -num_bins:].T
    return [
        share_interval(right, count) if count.any() else None
        for right, count in zip(rights, counts, strict=True)
    ]
