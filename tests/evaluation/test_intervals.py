"""Tests for intervals over episodes: scipy's numbers, and how often they cover."""

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
