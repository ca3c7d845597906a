"""Metrics: scores from `(outputs, targets, weights)`."""

from metaflax.metrics._classification import accuracy as accuracy
from metaflax.metrics._classification import last_precision as last_precision
from metaflax.metrics._classification import last_recall as last_recall
from metaflax.metrics._classification import micro_f1 as micro_f1
from metaflax.metrics._regression import pearson as pearson
from metaflax.metrics._regression import spearman as spearman

__all__ = [
    "accuracy",
    "last_precision",
    "last_recall",
    "micro_f1",
    "pearson",
    "spearman",
]
