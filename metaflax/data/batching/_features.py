"""Collates episodes of examples with precomputed features."""

from collections.abc import Sequence

import numpy as np

from metaflax import base
from metaflax.data.batching._batching import _rows, _targets, _weights
from metaflax.data.samplers._episodes import Episode


def collate_features(
    episodes: Sequence[Episode],
    features: np.ndarray,
    *,
    num_classes: int,
    num_support: int,
    num_queries: int,
) -> base.Task:
    """Stacks T episodes like `collate`, with features in place of tokens.

    Args:
      episodes: T episodes of one sampler.
      features: `[examples, ..., D]`; only the rows of the episodes' examples are read.
      num_classes: N, the maximum number of classes.
      num_support: S, the maximum number of support examples.
      num_queries: Q, the maximum number of queries.

    Returns:
      A task of NumPy arrays with inputs `[T, S, ..., D]` and `[T, Q, ..., D]`.
    """

    def batch(parts, targets, size, what, weights=()) -> base.Batch:
        rows = _rows(parts, size, what)
        kept = (rows >= 0).reshape(*rows.shape, *[1] * (features.ndim - 1))
        return base.Batch(
            features[rows] * kept.astype(features.dtype),
            _targets(targets, size, num_classes),
            _weights(rows, weights),
        )

    fitted = [episode.fitted for episode in episodes]
    return base.Task(
        batch(
            [rows.rows for rows in fitted],
            [rows.targets for rows in fitted],
            num_support,
            "support examples",
            [rows.weights for rows in fitted],
        ),
        batch(
            [e.query for e in episodes],
            [e.query_targets for e in episodes],
            num_queries,
            "queries",
        ),
    )
