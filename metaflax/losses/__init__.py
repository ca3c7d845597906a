"""Losses: scalars from `(outputs, targets, weights)`."""

from metaflax.losses._classification import (
    balanced_class_weights as balanced_class_weights,
)
from metaflax.losses._classification import (
    balanced_label_weights as balanced_label_weights,
)
from metaflax.losses._classification import (
    sigmoid_cross_entropy as sigmoid_cross_entropy,
)
from metaflax.losses._classification import (
    softmax_cross_entropy as softmax_cross_entropy,
)
from metaflax.losses._contrastive import cosine_pairs as cosine_pairs
from metaflax.losses._language import (
    language_cross_entropy as language_cross_entropy,
)
from metaflax.losses._ranking import lambda_rank as lambda_rank
from metaflax.losses._regression import squared_error as squared_error
from metaflax.losses._spans import span_cross_entropy as span_cross_entropy
from metaflax.losses._tokens import per_token as per_token
from metaflax.losses._weighted import weighted_mean as weighted_mean

__all__ = [
    "balanced_class_weights",
    "balanced_label_weights",
    "cosine_pairs",
    "lambda_rank",
    "language_cross_entropy",
    "per_token",
    "sigmoid_cross_entropy",
    "softmax_cross_entropy",
    "span_cross_entropy",
    "squared_error",
    "weighted_mean",
]
