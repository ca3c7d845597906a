"""Precision, recall and F1 per class over all queries of all episodes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from metaflax import metrics


def classification_report(
    true: Sequence[str], predicted: Sequence[str]
) -> dict[str, Any]:
    """The per-class report of scikit-learn, as a dictionary.

    Args:
      true: the class name of each query.
      predicted: the class said for it, in the same order.

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


def label_report(
    names: Sequence[str], true: np.ndarray, predicted: np.ndarray
) -> dict[str, Any]:
    """The same for several labels a query.

    Args:
      names: of the labels, N.
      true: 0 or 1, `[U, N]`.
      predicted: 0 or 1, `[U, N]`.

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
    """Correlations and errors of numbers, for each group and over all.

    Over all queries of a group together, unlike means over episodes, so that what
    differs from task to task counts too.

    Args:
      groups: of each query, a domain for instance.
      true: its number, `[U]`.
      predicted: what was said, `[U]`.

    Returns:
      For each group and `all` a dictionary of `pearson`, `spearman`, `mse` and
      `support`; a correlation that is not defined is 0.

    Examples:
      >>> report = number_report(["a", "a"], np.array([1.0, 2.0]), np.array([2.0, 4.0]))
      >>> report["all"]
      {'pearson': 1.0, 'spearman': 1.0, 'mse': 2.5, 'support': 2}
    """
    names = np.array(groups)
    chosen = {name: names == name for name in sorted(set(groups))}
    chosen["all"] = np.ones(len(names), bool)
    return {
        name: {
            "pearson": _correlation(metrics.pearson, true[rows], predicted[rows]),
            "spearman": _correlation(metrics.spearman, true[rows], predicted[rows]),
            "mse": float(np.mean((true[rows] - predicted[rows]) ** 2)),
            "support": int(rows.sum()),
        }
        for name, rows in chosen.items()
    }


def _correlation(metric, true: np.ndarray, predicted: np.ndarray) -> float:
    return float(metric(predicted, true, np.ones(len(true), np.float32)))
