"""Rejection of texts that belong to no class, by a threshold on their confidence."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from metaflax import metrics
from metaflax._wording import counted
from metaflax.workflows.runs._calibration import Calibration


class Rejection:
    """Sets the label of predictions below a threshold to None, and counts them.

    Args:
      calibration: calibration that was fitted on meta-validation.
      rate: share of the texts of known classes that may be rejected.
      num_classes: number of classes of the model.

    Attributes:
      threshold: least confidence of a prediction that is kept.
      num_texts: number of texts so far.
      num_rejected: number of them that were rejected.

    Raises:
      ValueError: if no threshold was fitted for the rate.
    """

    def __init__(self, calibration: Calibration, rate: float, num_classes: int):
        self._calibration, self._rate = calibration, rate
        self._num_classes = num_classes
        self.threshold = calibration.threshold(rate)
        self.num_texts = 0
        self.num_rejected = 0

    def __call__(
        self, predictions: Sequence[dict[str, Any]], logits: np.ndarray
    ) -> list[dict[str, Any]]:
        """Adds `confidence` and `best_label`; `label` is None below the threshold."""
        decided = []
        confidences = self._calibration.confidence(logits)
        for prediction, confidence in zip(predictions, confidences, strict=True):
            rejected = bool(confidence < self.threshold)
            self.num_rejected += rejected
            best = prediction["label"]
            decided.append(
                {
                    **prediction,
                    "label": None if rejected else best,
                    "best_label": best,
                    "confidence": round(float(confidence), 6),
                }
            )
        self.num_texts += len(decided)
        return decided

    def notes(self) -> list[str]:
        """Returns a sentence about the rejected texts and the threshold."""
        fitted = self._calibration
        texts = counted(self.num_texts, "text was", "texts were")
        return [
            f"{self.num_rejected} of {texts} rejected (label null):"
            f" their {fitted.score.replace('_', ' ')} is below {self.threshold:.4g}, as"
            f" for {100 * self._rate:g} % of the queries of {fitted.episodes}"
            f" meta-validation; this model has {self._num_classes} classes."
        ]


def with_raw_scores(
    predictions: Sequence[dict[str, Any]], logits: np.ndarray, names: Sequence[str]
) -> list[dict[str, Any]]:
    """Adds `raw_score`, the probability of the label at temperature 1."""
    raw = metrics.softened(logits)
    return [
        {
            **prediction,
            "raw_score": round(float(row[names.index(prediction["label"])]), 6),
        }
        for prediction, row in zip(predictions, raw, strict=True)
    ]


def rejection_at(
    rate: float | None, calibration: Calibration | None, num_classes: int
) -> Rejection | None:
    """Makes the rejection at a false-rejection rate; None rejects nothing.

    Raises:
      ValueError: if there is no calibration, or it has no threshold for the rate.
    """
    if rate is None:
        return None
    if calibration is None:
        raise ValueError(
            "there is no threshold to reject texts by, which a run fits on"
            " meta-validation; name a run, or leave the rejection out."
        )
    return Rejection(calibration, rate, num_classes)
