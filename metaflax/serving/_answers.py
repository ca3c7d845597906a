"""Nearest examples and scores in responses of the service."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from metaflax import data
from metaflax.evaluation._report import class_report
from metaflax.evaluation._shares import share_interval
from metaflax.workflows.learning._text_encoder import Encoded

# Number of nearest examples shown with a prediction.
NUM_NEAREST = 3


def nearest_examples(
    encoded: Encoded, examples: Encoded, rows: Sequence[dict[str, Any]]
) -> list[list[dict[str, Any]]]:
    """Lists the nearest examples of each text, by the cosine of features."""
    cosines = _unit(encoded.features) @ _unit(examples.features).T  # [U, S]
    nearest = np.argsort(-cosines, axis=-1, kind="stable")[:, :NUM_NEAREST]
    return [
        [{**rows[i], "similarity": round(float(row[i]), 6)} for i in best]
        for row, best in zip(cosines, nearest, strict=True)
    ]


def _unit(features: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(features, axis=-1, keepdims=True)
    return features / np.maximum(lengths, np.finfo(np.float32).tiny)


def scores(
    rows: Sequence[dict[str, Any]],
    examples: data.Examples,
    records: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    """Computes accuracy with an interval, a report by class, and wrong predictions.

    Args:
      rows: labelled texts as they were sent.
      examples: the rows, with gold labels as the task has them.
      records: predictions of the rows.
    """
    names = [labels[0] for labels in examples.labels]
    predicted = [record["label"] for record in records]
    hits = [a == b for a, b in zip(names, predicted, strict=True)]
    accuracy = share_interval(hits, np.ones(len(hits)))
    classes = sorted({*names, *predicted})
    wrong = [
        {"text": row["text"], "label": name, "predicted": record["label"]}
        for row, name, record, hit in zip(rows, names, records, hits, strict=True)
        if not hit
    ]
    low, high = float(accuracy.low), float(accuracy.high)
    return {
        "examples": len(hits),
        "accuracy": float(np.mean(hits)),
        "interval": [low, high],
        "classes": class_report(names, predicted, classes),
        "wrong": wrong,
    }
