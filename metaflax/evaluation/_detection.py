"""Telling queries from texts out of scope, episode by episode."""

from collections.abc import Callable, Sequence

import numpy as np

from metaflax import metrics
from metaflax.evaluation._intervals import Interval, mean_interval

# What says how surely a text is of one of the classes, from its logits [..., N].
CONFIDENCES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "largest_logit": lambda logits: np.max(logits, axis=-1),
    "largest_probability": lambda logits: metrics.softened(logits).max(axis=-1),
}


def detection(
    inside: Sequence[np.ndarray], outside: Sequence[np.ndarray], recall: float = 0.95
) -> dict[str, dict[str, Interval]]:
    """How well the largest logit, or probability, tells queries from other texts.

    Of class means the largest logit is the least distance to one, times a factor. Of
    logits that mean nothing but their differences, those of a linear layer, the largest
    probability is the usual score.

    Args:
      inside: of each of E episodes the logits of its queries, `[Q, N]`.
      outside: of each episode those of texts of none of its classes, `[V, N]`.
      recall: the share of an episode's queries that is to be kept, at least.

    Returns:
      For each score `auroc` and `false_positives` (the share of the texts outside that
      is kept), means over episodes with Student's interval.

    Examples:
      >>> queries, others = np.array([[3.0, 0.0], [0.0, 2.0]]), np.array([[1.0, 1.0]])
      >>> found = detection([queries] * 2, [others] * 2)
      >>> found["largest_logit"]["auroc"].mean
      1.0
    """
    found = {}
    for name, confidence in CONFIDENCES.items():
        pairs = [
            (confidence(own), confidence(others))
            for own, others in zip(inside, outside, strict=True)
        ]
        areas = [metrics.auroc(*pair) for pair in pairs]
        passed = [metrics.false_positives_at(*pair, recall) for pair in pairs]
        found[name] = {
            "auroc": mean_interval(np.array(areas)),
            "false_positives": mean_interval(np.array(passed)),
        }
    return found
