"""Tests for intervals over episodes: agreement with scipy, and coverage."""

import numpy as np
import pytest
from scipy import stats

from metaflax import evaluation


@pytest.mark.parametrize("confidence", [0.5, 0.95])
@pytest.mark.parametrize("size", [2, 5, 40])
def test_the_interval_is_students_t_as_scipy_gives_it(size, confidence):
    scores = np.random.default_rng(size).normal(size=size)
    interval = evaluation.mean_interval(scores, confidence)
    expected = stats.t.interval(
        confidence, size - 1, loc=scores.mean(), scale=stats.sem(scores)
    )
    np.testing.assert_allclose((interval.low, interval.high), expected, rtol=1e-9)


def test_it_covers_the_true_mean_as_often_as_it_says():
    """For five episodes; with 1.96 standard errors it would be 88 %."""
    draws = np.random.default_rng(0).normal(0.3, 2.0, size=(3000, 5))
    intervals = [evaluation.mean_interval(scores) for scores in draws]
    covered = np.mean([i.low <= 0.3 <= i.high for i in intervals])
    assert covered == pytest.approx(0.95, abs=0.015)


def test_a_single_episode_says_nothing_of_the_spread():
    assert evaluation.mean_interval(np.array([0.5])) == (0.5, float("inf"))


def test_float32_scores_are_averaged_in_float64():
    scores = np.full(100_000, 0.1, np.float32)
    mean = evaluation.mean_interval(scores).mean
    np.testing.assert_allclose(mean, np.float64(np.float32(0.1)), rtol=1e-12)


@pytest.mark.parametrize("scores", [np.zeros(0), np.zeros((2, 2))])
def test_other_than_a_list_of_scores_is_refused_with_its_shape(scores):
    with pytest.raises(ValueError, match="at least one, got shape"):
        evaluation.mean_interval(scores)


def test_pairing_takes_out_what_episodes_have_in_common():
    rng = np.random.default_rng(0)
    difficulty = rng.normal(size=30)
    before, after = difficulty, difficulty + 0.1 + 0.01 * rng.normal(size=30)
    paired = evaluation.paired_interval(before, after)
    assert paired == evaluation.mean_interval(after - before)
    assert paired.low > 0
    assert evaluation.mean_interval(after).half_width > 10 * paired.half_width


def test_scores_of_different_episodes_are_not_paired():
    with pytest.raises(ValueError, match=r"same episodes, got \(3,\) and \(4,\)"):
        evaluation.paired_interval(np.zeros(3), np.zeros(4))


def simulated(rng, folds=5, seeds=2, episodes=30):
    """Scores around 0.3: folds, seeds and episodes each differ."""
    of_folds = rng.normal(0.3, 0.2, size=(folds, 1, 1))
    of_seeds = rng.normal(0, 0.1, size=(folds, seeds, 1))
    return of_folds + of_seeds + rng.normal(size=(folds, seeds, episodes))


def test_the_nested_interval_is_students_over_the_means_of_folds():
    scores = simulated(np.random.default_rng(0))
    found = evaluation.nested_interval(scores)
    assert found == pytest.approx(evaluation.mean_interval(scores.mean((1, 2))))
    ragged = [list(fold) for fold in scores]
    ragged[0] = [scores[0].ravel()]  # Seeds run together: equal numbers of episodes.
    assert evaluation.nested_interval(ragged) == pytest.approx(found)


def test_the_nested_interval_covers_other_folds_and_one_over_episodes_does_not():
    rng = np.random.default_rng(0)
    draws = [simulated(rng) for _ in range(1000)]
    nested = [evaluation.nested_interval(x) for x in draws]
    pooled = [evaluation.mean_interval(x.ravel()) for x in draws]
    assert np.mean([i.low <= 0.3 <= i.high for i in nested]) > 0.93
    assert np.mean([i.low <= 0.3 <= i.high for i in pooled]) < 0.8


def test_of_one_fold_alone_what_is_in_it_is_the_outermost_level():
    scores = simulated(np.random.default_rng(0), folds=1, seeds=3)
    expected = evaluation.mean_interval(scores[0].mean(axis=1))
    assert evaluation.nested_interval(scores) == pytest.approx(expected)
    one = [[scores[0, 0]]]
    expected = evaluation.mean_interval(scores[0, 0])
    assert evaluation.nested_interval(one) == pytest.approx(expected)


def test_the_stratified_interval_covers_other_episodes_of_the_same_folds():
    rng = np.random.default_rng(0)
    centres, spreads = np.array([0.0, 0.5, 0.7]), np.array([0.1, 1.0, 3.0])
    sizes = (4, 8, 12)

    def found():
        folds = zip(centres, spreads, sizes, strict=True)
        return evaluation.stratified_interval([rng.normal(*fold) for fold in folds])

    intervals = [found() for _ in range(2000)]
    covered = np.mean([i.low <= 0.4 <= i.high for i in intervals])
    assert covered == pytest.approx(0.95, abs=0.015)


def test_the_stratified_interval_of_one_fold_is_students():
    scores = np.random.default_rng(0).normal(size=9)
    expected = evaluation.mean_interval(scores)
    assert evaluation.stratified_interval([scores]) == pytest.approx(expected)


def test_folds_without_scores_are_refused():
    with pytest.raises(ValueError, match="has no scores; leave it out"):
        evaluation.nested_interval([np.ones(2), np.zeros(0)])
    with pytest.raises(ValueError, match=r"two episodes at least, got \[2, 1\]"):
        evaluation.stratified_interval([np.ones(2), np.ones(1)])
