"""Tests for confusion, calibration and detection over episodes."""

import numpy as np
import pytest

from metaflax import evaluation, metrics
from metaflax.evaluation._confusion import (
    EpisodePredictions,
    class_intervals,
    confused_pairs,
    confusion_matrix,
)
from metaflax.evaluation._detection import detection
from metaflax.evaluation._report import classification_report
from metaflax.metrics._calibration import reliability_bins


def drawn_episodes(seed=0, num=40):
    """Episodes of three of five classes, two queries each, a fifth of them wrong."""
    rng, names, found = np.random.default_rng(seed), list("abcde"), []
    for _ in range(num):
        drawn = rng.choice(names, 3, replace=False).tolist()
        true = [name for name in drawn for _ in range(2)]
        said = [t if rng.random() < 0.8 else rng.choice(drawn).item() for t in true]
        found.append(EpisodePredictions(true, said, drawn))
    return found


def test_counts_are_those_of_sklearn_and_chances_of_episodes_with_both():
    sklearn_metrics = pytest.importorskip("sklearn.metrics")
    episodes = drawn_episodes()
    counts, chances = confusion_matrix(episodes, list("abcde"))
    true = [name for own in episodes for name in own.true]
    said = [name for own in episodes for name in own.predicted]
    np.testing.assert_array_equal(counts, sklearn_metrics.confusion_matrix(true, said))
    both = sum({"a", "b"} <= set(own.drawn) for own in episodes)
    assert chances[0, 1] == chances[1, 0] == 2 * both
    np.testing.assert_array_equal(np.diag(chances), counts.sum(axis=1))


def test_confused_pairs_are_the_largest_counts_off_the_diagonal():
    episodes = drawn_episodes()
    counts, chances = confusion_matrix(episodes, list("abcde"))
    pairs = confused_pairs(episodes, list("abcde"), most=4)
    wrong = sorted(counts[~np.eye(5, dtype=bool)], reverse=True)
    assert [pair.number for pair in pairs] == wrong[:4]
    for pair in pairs:
        place = "abcde".index(pair.true), "abcde".index(pair.predicted)
        assert (pair.number, pair.chances) == (counts[place], chances[place])
        assert pair.share.value == pytest.approx(pair.number / pair.chances)
        assert pair.share.low < pair.share.value < pair.share.high


def test_without_confusion_there_are_no_pairs():
    perfect = [EpisodePredictions(["a", "b"], ["a", "b"], ["a", "b"])]
    assert confused_pairs(perfect, ["a", "b"]) == []


def test_scores_of_classes_are_those_of_the_report_with_intervals_around_them():
    episodes = drawn_episodes()
    found = class_intervals(episodes, list("abcdef"))  # No query has an f.
    report = classification_report(
        [name for own in episodes for name in own.true],
        [name for own in episodes for name in own.predicted],
    )
    assert set(found) == set("abcde")
    for name, scores in found.items():
        for score, estimate in scores.items():
            assert estimate.value == pytest.approx(report[name][score])
            assert estimate.low < estimate.value < estimate.high


def test_calibration_is_that_of_all_queries_together():
    rng = np.random.default_rng(0)
    logits = [rng.normal(size=(6, 4)) for _ in range(30)]
    targets = [rng.integers(4, size=6) for _ in range(30)]
    found = evaluation.calibration(logits, targets, temperature=2.0, num_bins=10)
    together = metrics.softened(np.concatenate(logits), 2.0)
    bins = reliability_bins(together, np.concatenate(targets), 10)
    for ours, expected in zip(found.bins, bins, strict=True):
        np.testing.assert_allclose(ours, expected)
    assert found.error.value == pytest.approx(metrics.expected_calibration_error(bins))
    assert found.error.low <= found.error.high
    likely = together[np.arange(180), np.concatenate(targets)]
    assert found.log_loss.mean == pytest.approx(-np.log(likely).mean())
    for count, right, own in zip(
        bins.number, bins.right, found.accuracies, strict=True
    ):
        assert (own is None) == (count == 0)
        assert own is None or own.value == pytest.approx(right / count)


def test_the_interval_of_a_calibration_error_covers_a_large_one():
    """Confidence 90 % and accuracy one half: the error is 0.4."""
    logits = [np.log([[0.9, 0.1]] * 10)] * 50
    targets = [(np.arange(10) < right).astype(int) for right in [3, 4, 5, 6, 7] * 10]
    error = evaluation.calibration(logits, targets).error
    gap = evaluation.bootstrap_interval(np.mean(targets, axis=1) - 0.1)
    assert error == pytest.approx(gap)
    assert error.low < 0.4 < error.high


def test_detection_is_a_mean_over_episodes_of_each_score():
    rng = np.random.default_rng(0)
    inside = [rng.normal(size=(8, 3)) + 1 for _ in range(5)]
    outside = [rng.normal(size=(8, 3)) for _ in range(5)]
    found = detection(inside, outside)
    areas = [
        metrics.auroc(a.max(axis=1), b.max(axis=1))
        for a, b in zip(inside, outside, strict=True)
    ]
    assert found["largest_logit"]["auroc"] == evaluation.mean_interval(np.array(areas))
    passed = [
        metrics.false_positives_at(*(metrics.softened(x).max(axis=1) for x in pair))
        for pair in zip(inside, outside, strict=True)
    ]
    expected = evaluation.mean_interval(np.array(passed))
    assert found["largest_probability"]["false_positives"] == expected


def test_a_shift_of_logits_changes_what_the_largest_says_and_no_probability():
    queries, others = np.array([[2.0, 0.0]]), np.array([[1.0, 0.5]])
    shifted = detection([queries, queries], [others + 9, others + 9])
    assert shifted["largest_logit"]["auroc"].mean == 0
    assert shifted["largest_probability"]["auroc"].mean == 1
