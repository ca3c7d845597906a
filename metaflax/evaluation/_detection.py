"""Out-of-scope detection, episode by episode."""

from collections.abc import Callable, Sequence

import numpy as np

from metaflax import metrics
from metaflax.evaluation._intervals import Interval, mean_interval

# Confidence scores of being in scope, from logits [..., N].
CONFIDENCES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "largest_logit": lambda logits: np.max(logits, axis=-1),
    "largest_probability": lambda logits: metrics.softened(logits).max(axis=-1),
}


def detection(
    inside: Sequence[np.ndarray], outside: Sequence[np.ndarray], recall: float = 0.95
) -> dict[str, dict[str, Interval]]:
    """Scores how well confidences separate in-scope queries from other texts.

    For class means, the largest logit is the least distance to a mean, up to a factor.
    For a linear layer, whose logits are defined up to a shift, the largest probability
    is the usual score.

    Args:
      inside: logits of the queries of each of E episodes, `[Q, N]`.
      outside: logits of texts of none of the classes, for each episode, `[V, N]`.
      recall: smallest share of an episode's queries that is accepted.

    Returns:
      For each score `auroc` and `false_positives` (the share of the other texts that
      is accepted), means over episodes with Student's interval.

    Examples:
      >>> queries, others = np.array([[3.0, 0.0], [0.0, 2.0]]), np.array([[1.0, 1.0]])
      >>> scores = detection([queries] * 2, [others] * 2)
      >>> scores["largest_logit"]["auroc"].mean
      1.0
    """
    scores = {}
    for name, confidence in CONFIDENCES.items():
        pairs = [
            (confidence(queries), confidence(others))
            for queries, others in zip(inside, outside, strict=True)
        ]
        areas = [metrics.auroc(*pair) for pair in pairs]
        passed = [metrics.false_positives_at(*pair, recall) for pair in pairs]
        scores[name] = {
            "auroc": mean_interval(np.array(areas)),
            "false_positives": mean_interval(np.array(passed)),
        }
    return scores
