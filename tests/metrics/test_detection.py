"""Tests for detection: parity with scikit-learn on random scores with ties."""

import numpy as np
import pytest

from metaflax import metrics


def drawn(seed):
    """Scores of 25 texts inside and 40 outside, rounded so that some are equal."""
    rng = np.random.default_rng(seed)
    return rng.normal(1.0, size=25).round(1), rng.normal(size=40).round(1)


@pytest.mark.parametrize("seed", range(10))
def test_both_scores_are_those_of_sklearn(seed):
    sklearn_metrics = pytest.importorskip("sklearn.metrics")
    inside, outside = drawn(seed)
    true = np.repeat([1, 0], [25, 40])
    scores = np.concatenate([inside, outside])
    area = sklearn_metrics.roc_auc_score(true, scores)
    assert metrics.auroc(inside, outside) == pytest.approx(area)
    false, recalls, _ = sklearn_metrics.roc_curve(true, scores, drop_intermediate=False)
    for recall in (0.5, 0.8, 0.95, 1.0):
        expected = false[recalls >= recall].min()
        found = metrics.false_positives_at(inside, outside, recall)
        assert found == pytest.approx(expected)


def test_scores_that_tell_all_apart_or_nothing():
    high, low = np.array([3.0, 2.0]), np.array([1.0, 0.0, -1.0])
    assert metrics.auroc(high, low) == 1.0
    assert metrics.auroc(low, high) == 0.0
    assert metrics.auroc(np.zeros(4), np.zeros(3)) == 0.5
    assert metrics.false_positives_at(high, low) == 0.0
    assert metrics.false_positives_at(low, high) == 1.0


def test_ninety_five_percent_of_twenty_are_nineteen():
    inside = np.arange(20.0)
    assert metrics.false_positives_at(inside, np.array([0.5, 1.5])) == 0.5


@pytest.mark.parametrize("inside", [[], [[1.0]], [float("nan")]])
def test_what_are_no_scores_are_refused(inside):
    with pytest.raises(ValueError, match="at least one of each and all of them num"):
        metrics.auroc(inside, [1.0])


def test_a_recall_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r"recall is 0\.0"):
        metrics.false_positives_at([1.0], [1.0], recall=0.0)
