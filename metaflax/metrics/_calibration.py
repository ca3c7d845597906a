"""Calibration: reliability bins, expected calibration error, temperature scaling."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

# Temperatures lie between this and its inverse: if all answers are right, no
# temperature is best, since their likelihood grows as it falls.
LOWEST_TEMPERATURE = 1e-3


class Bins(NamedTuple):
    """Reliability bins: units grouped by confidence into B bins of equal width.

    Attributes:
      number: `[B]`, how many units; sums over units, here and below, so that bins of
        several sets of units may be added.
      confidence: `[B]`, the sum of their largest probabilities.
      right: `[B]`, how many are classified correctly.
    """

    number: np.ndarray
    confidence: np.ndarray
    right: np.ndarray


def reliability_bins(
    probabilities: ArrayLike, targets: ArrayLike, num_bins: int = 15
) -> Bins:
    """Groups units into bins by the probability of the predicted class.

    Args:
      probabilities: `[U, N]`, of each class.
      targets: class numbers `[U]`.
      num_bins: B. Bin b holds probabilities in (b / B, (b + 1) / B].

    Returns:
      `Bins`. The mean confidence of a bin is `confidence / number`, and its accuracy
      `right / number`.

    Raises:
      ValueError: if there are no units, or the two differ in their number.

    Examples:
      >>> bins = reliability_bins([[0.9, 0.1], [0.7, 0.3], [0.4, 0.6]], [0, 1, 1], 2)
      >>> print(bins.number, bins.right)
      [0. 3.] [0. 2.]

    References:
      Guo et al., `On Calibration of Modern Neural Networks
      <https://arxiv.org/abs/1706.04599>`_, 2017.
    """
    probabilities, targets = _units(probabilities, targets)
    sure = probabilities.max(axis=-1)
    hits = probabilities.argmax(axis=-1) == targets
    place = np.clip(np.ceil(sure * num_bins).astype(int) - 1, 0, num_bins - 1)

    def summed(weights: np.ndarray) -> np.ndarray:
        return np.bincount(place, weights, minlength=num_bins)

    return Bins(summed(np.ones(len(sure))), summed(sure), summed(hits))


def expected_calibration_error(bins: Bins) -> np.ndarray:
    r"""The expected calibration error, :math:`\sum_b |B_b| |acc_b - conf_b| / U`.

    Args:
      bins: bins of any units, leaves `[..., B]`.

    Returns:
      The error, `[...]`, from 0 to 1; it is above 0 by chance alone where bins hold few
      units. NaN where there are no units.

    Examples:
      >>> from metaflax.metrics import expected_calibration_error
      >>> from metaflax.metrics._calibration import reliability_bins
      >>> bins = reliability_bins([[0.9, 0.1], [0.7, 0.3], [0.4, 0.6]], [0, 1, 1], 2)
      >>> print(f"{expected_calibration_error(bins):.4f}")  # |2 - 2.2| / 3
      0.0667

    References:
      Guo et al., `On Calibration of Modern Neural Networks
      <https://arxiv.org/abs/1706.04599>`_, 2017, equation 3.
    """
    gaps = np.abs(np.asarray(bins.right) - np.asarray(bins.confidence)).sum(axis=-1)
    with np.errstate(invalid="ignore"):
        return gaps / np.sum(bins.number, axis=-1)


def softened(logits: ArrayLike, temperature: float = 1.0) -> np.ndarray:
    """Computes the probabilities `softmax(logits / temperature)`, in float64.

    Args:
      logits: `[..., N]`, those of absent classes very negative.
      temperature: above 0; above 1 it makes answers less confident and changes none.

    Examples:
      >>> import numpy as np
      >>> from metaflax.metrics import softened
      >>> print(softened([0.0, np.log(9.0)], temperature=2.0))
      [0.25 0.75]
    """
    scaled = np.asarray(logits, np.float64) / temperature
    shares = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)


def fit_temperature(logits: ArrayLike, targets: ArrayLike) -> float:
    r"""Fits the temperature that maximises the likelihood of the targets.

    In :math:`\beta = 1 / T` the mean of :math:`-\log p_y` is convex, and its slope is
    the mean of :math:`E_p[z] - z_y`, so that it has one minimum. Fit it on units
    that no score is reported on, those of meta-validation.

    Args:
      logits: z, `[U, N]`, those of absent classes very negative.
      targets: class numbers `[U]`, of classes that are present.

    Returns:
      T between `LOWEST_TEMPERATURE`, where every answer is right, and its inverse,
      where they are no better than chance.

    Raises:
      ValueError: if there are no units, or the two differ in their number.

    Examples:
      >>> import numpy as np
      >>> from metaflax.metrics import fit_temperature
      >>> logits = np.log([[0.9, 0.1]] * 4)  # Sure to 90 %, and right in 3 of 4.
      >>> print(f"{fit_temperature(logits, [0, 0, 0, 1]):.4f}")
      2.0000

    References:
      Guo et al., `On Calibration of Modern Neural Networks
      <https://arxiv.org/abs/1706.04599>`_, 2017, section 4.2.
    """
    from scipy import optimize  # Takes a third of a second to import.

    logits, targets = _units(logits, targets)
    true = logits[np.arange(len(targets)), targets]

    def slope(log_beta: float) -> float:
        probabilities = softened(logits, np.exp(-log_beta))
        # An absent class has probability 0, and a logit without meaning.
        expected = np.sum(probabilities * np.where(probabilities > 0, logits, 0), -1)
        return float(np.mean(expected - true))

    most = -np.log(LOWEST_TEMPERATURE)
    if slope(most) <= 0:
        return LOWEST_TEMPERATURE
    if slope(-most) >= 0:
        return 1 / LOWEST_TEMPERATURE
    root: float = optimize.brentq(slope, -most, most, xtol=1e-10)  # pyright: ignore
    return float(np.exp(-root))


def _units(values: ArrayLike, targets: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    values, targets = np.asarray(values, np.float64), np.asarray(targets, np.int64)
    if values.ndim != 2 or not len(values) or targets.shape != values.shape[:1]:
        raise ValueError(
            "calibration is of one unit at least, values [U, N] and targets [U], got"
            f" {list(values.shape)} and {list(targets.shape)}."
        )
    return values, targets
