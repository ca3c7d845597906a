"""Tests for the per-class report."""

import numpy as np
import pytest
from scipy import stats

from metaflax.evaluation._report import (
    class_report,
    classification_report,
    label_report,
    number_report,
)

sklearn_metrics = pytest.importorskip("sklearn.metrics")


def test_it_is_that_of_sklearn():
    rng = np.random.default_rng(0)
    true, predicted = rng.choice(["a", "b", "c"], size=(2, 50))
    precision, recall, f1, support = sklearn_metrics.precision_recall_fscore_support(
        true, predicted, labels=["a", "b", "c"]
    )
    report = classification_report(list(true), list(predicted))
    for n, name in enumerate("abc"):
        assert report[name] == pytest.approx(
            {
                "precision": precision[n],
                "recall": recall[n],
                "f1-score": f1[n],
                "support": support[n],
            }
        )
    assert report["accuracy"] == pytest.approx(np.mean(true == predicted))
    assert report["macro avg"]["f1-score"] == pytest.approx(f1.mean())


def test_classes_may_have_the_names_of_averages():
    names = ["accuracy", "macro avg", "b"]
    true, predicted = [*names, "b"], [names[0], *names[1:], names[0]]
    plain = {"accuracy": "x", "macro avg": "y", "b": "b"}
    expected = classification_report(
        *([plain[n] for n in s] for s in (true, predicted))
    )
    report = class_report(true, predicted, names)
    assert report == {name: pytest.approx(expected[plain[name]]) for name in names}


def test_a_class_that_was_never_said_scores_zero_without_a_warning():
    report = classification_report(["a", "b"], ["a", "a"])
    assert report["b"]["precision"] == 0.0


@pytest.mark.parametrize(("true", "predicted"), [([], []), (["a"], ["a", "b"])])
def test_queries_and_predictions_must_match(true, predicted):
    message = f"got {len(predicted)} and {len(true)}"
    with pytest.raises(ValueError, match=message):
        classification_report(true, predicted)


def test_labels_are_reported_by_name():
    true = np.array([[1, 0], [1, 1], [0, 1]])
    predicted = np.array([[1, 0], [0, 1], [1, 0]])
    report = label_report(["x", "y"], true, predicted)
    assert (report["x"]["precision"], report["x"]["recall"]) == (0.5, 0.5)
    assert (report["y"]["precision"], report["y"]["recall"]) == (1.0, 0.5)
    expected = sklearn_metrics.f1_score(true, predicted, average="micro")
    assert report["micro avg"]["f1-score"] == pytest.approx(expected)


def test_numbers_are_reported_by_group_and_over_all():
    rng = np.random.default_rng(0)
    true, predicted = rng.normal(size=(2, 40))
    groups = list(rng.choice(["a", "b"], 40))
    report = number_report(groups, true, predicted)
    assert list(report) == ["a", "b", "all"]
    for name in ("a", "b", "all"):
        rows = np.array([name in (group, "all") for group in groups])
        expected = {
            "pearson": stats.pearsonr(true[rows], predicted[rows]).statistic,
            "spearman": stats.spearmanr(true[rows], predicted[rows]).statistic,
            "mse": np.mean((true[rows] - predicted[rows]) ** 2),
            "support": rows.sum(),
        }
        assert report[name] == pytest.approx(expected, abs=1e-5)
