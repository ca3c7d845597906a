"""Metrics: scores from `(outputs, targets, weights)`, and of answers in words."""

from metaflax.metrics._classification import accuracy as accuracy
from metaflax.metrics._classification import last_precision as last_precision
from metaflax.metrics._classification import last_recall as last_recall
from metaflax.metrics._classification import micro_f1 as micro_f1
from metaflax.metrics._regression import pearson as pearson
from metaflax.metrics._regression import spearman as spearman
from metaflax.metrics._squad import exact_match as exact_match
from metaflax.metrics._squad import normalized_answer as normalized_answer
from metaflax.metrics._squad import token_f1 as token_f1

__all__ = [
    "accuracy",
    "exact_match",
    "last_precision",
    "last_recall",
    "micro_f1",
    "normalized_answer",
    "pearson",
    "spearman",
    "token_f1",
]
