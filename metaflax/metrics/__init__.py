"""Metrics of classification, regression, ranking, entities, answers and texts."""

from metaflax.metrics._calibration import (
    expected_calibration_error as expected_calibration_error,
)
from metaflax.metrics._calibration import fit_temperature as fit_temperature
from metaflax.metrics._calibration import softened as softened
from metaflax.metrics._classification import accuracy as accuracy
from metaflax.metrics._classification import micro_f1 as micro_f1
from metaflax.metrics._detection import auroc as auroc
from metaflax.metrics._detection import false_positives_at as false_positives_at
from metaflax.metrics._diversity import distinct as distinct
from metaflax.metrics._entities import entity_scores as entity_scores
from metaflax.metrics._likelihood import perplexity as perplexity
from metaflax.metrics._ranking import hit_at as hit_at
from metaflax.metrics._ranking import ndcg_at as ndcg_at
from metaflax.metrics._regression import pearson as pearson
from metaflax.metrics._regression import spearman as spearman
from metaflax.metrics._retrieval import recall_at as recall_at
from metaflax.metrics._squad import exact_match as exact_match
from metaflax.metrics._squad import token_f1 as token_f1
from metaflax.metrics._summaries import rouge as rouge
from metaflax.metrics._translation import bleu as bleu
from metaflax.metrics._translation import chrf as chrf

__all__ = [
    "accuracy",
    "auroc",
    "bleu",
    "chrf",
    "distinct",
    "entity_scores",
    "exact_match",
    "expected_calibration_error",
    "false_positives_at",
    "fit_temperature",
    "hit_at",
    "micro_f1",
    "ndcg_at",
    "pearson",
    "perplexity",
    "recall_at",
    "rouge",
    "softened",
    "spearman",
    "token_f1",
]
