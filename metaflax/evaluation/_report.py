"""Precision, recall and F1 per class over all queries of all episodes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from metaflax import metrics


def classification_report(
    true: Sequence[str], predicted: Sequence[str]
) -> dict[str, Any]:
    """Computes scikit-learn's per-class report, as a dictionary.

    Args:
      true: the class name of each query.
      predicted: the predicted class of each query.

    Returns:
      For each class, `macro avg` and `weighted avg` a dictionary of `precision`,
      `recall`, `f1-score` and `support`, and `accuracy`.

    Raises:
      ValueError: if there is no query or the two differ in length.

    Examples:
      >>> report = classification_report(["a", "a", "b"], ["a", "b", "b"])
      >>> print(report["a"]["precision"], report["a"]["recall"], report["accuracy"])
      1.0 0.5 0.6666666666666666
    """
    from sklearn import metrics as sklearn_metrics  # Takes a second to import.

    if not len(true) or len(true) != len(predicted):
        raise ValueError(
            f"a report needs as many predictions as queries, at least one; got"
            f" {len(predicted)} and {len(true)}."
        )
    report: Any = sklearn_metrics.classification_report  # Its annotations say str only.
    return report(true, predicted, output_dict=True, zero_division=0)


def class_report(
    true: Sequence[str], predicted: Sequence[str], names: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Computes the part of `classification_report` by class, for any names.

    Args:
      true: the class name of each query.
      predicted: the predicted class of each query.
      names: classes to report, which may have names such as `accuracy`.

    Examples:
      >>> report = class_report(["accuracy", "b"], ["b", "b"], ["accuracy", "b"])
      >>> report["accuracy"]["recall"], report["b"]["precision"]
      (0.0, 0.5)
    """
    from sklearn import metrics as sklearn_metrics

    report: Any = sklearn_metrics.precision_recall_fscore_support
    columns = report(true, predicted, labels=list(names), zero_division=0)
    keys = ("precision", "recall", "f1-score", "support")
    return {
        name: dict(zip(keys, map(float, row), strict=True))
        for name, row in zip(names, zip(*columns, strict=True), strict=True)
    }


def label_report(
    names: Sequence[str], true: np.ndarray, predicted: np.ndarray
) -> dict[str, Any]:
    """Computes scikit-learn's report of several labels per query.

    Args:
      names: names of the N labels.
      true: gold labels, 0 or 1, `[U, N]`.
      predicted: predicted labels, 0 or 1, `[U, N]`.

    Returns:
      As `classification_report`, with `micro avg` and `samples avg`.
    """
    from sklearn import metrics as sklearn_metrics

    report: Any = sklearn_metrics.classification_report
    return report(
        true, predicted, target_names=list(names), output_dict=True, zero_division=0
    )


def number_report(
    groups: Sequence[str], true: np.ndarray, predicted: np.ndarray
) -> dict[str, Any]:
    """Computes correlations and errors of regression, per group and over all.

    All queries of a group count together, unlike in a mean over episodes, so that
    differences between tasks count too.

    Args:
      groups: the group of each query, such as its domain.
      true: the gold numbers, `[U]`.
      predicted: the predicted numbers, `[U]`.

    Returns:
      For each group and `all` a dictionary of `pearson`, `spearman`, `mse` and
      `support`; a correlation that is not defined is 0.

    Examples:
      >>> report = number_report(["a", "a"], np.array([1.0, 2.0]), np.array([2.0, 4.0]))
      >>> report["all"]
      {'pearson': 1.0, 'spearman': 1.0, 'mse': 2.5, 'support': 2}
    """
    names = np.array(groups)
    rows_of = {name: names == name for name in sorted(set(groups))}
    rows_of["all"] = np.ones(len(names), bool)
    return {
        name: {
            "pearson": _correlation(metrics.pearson, true[rows], predicted[rows]),
            "spearman": _correlation(metrics.spearman, true[rows], predicted[rows]),
            "mse": float(np.mean((true[rows] - predicted[rows]) ** 2)),
            "support": int(rows.sum()),
        }
        for name, rows in rows_of.items()
    }


def _correlation(metric, true: np.ndarray, predicted: np.ndarray) -> float:
    return float(metric(predicted, true, np.ones(len(true), np.float32)))
