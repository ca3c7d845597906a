"""Metrics: scores from `(outputs, targets, weights)`."""

from metaflax.metrics._classification import accuracy as accuracy
from metaflax.metrics._classification import micro_f1 as micro_f1

__all__ = ["accuracy", "micro_f1"]
