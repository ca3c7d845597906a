"""Tests for the bootstrap: a binomial's closed form, and coverage."""

import numpy as np
import pytest
from scipy import stats

from metaflax import evaluation
from metaflax.evaluation import _bootstrap


@pytest.mark.parametrize(("size", "ones"), [(20, 7), (51, 30)])
def test_draws_of_zeros_and_ones_have_the_percentiles_of_a_binomial(size, ones):
    """The number of ones in a draw is Binomial(E, share of ones)."""
    scores = np.repeat([1.0, 0.0], [ones, size - ones])
    found = evaluation.bootstrap_interval(scores, num_resamples=40_000)
    exact = stats.binom.ppf([0.025, 0.975], size, ones / size) / size
    assert found.value == pytest.approx(ones / size)
    np.testing.assert_allclose(found[1:], exact, atol=1e-9)


def test_the_width_nears_the_normal_one_of_many_episodes():
    scores = np.random.default_rng(0).gamma(2.0, size=400)
    found = evaluation.bootstrap_interval(scores)
    error = 1.96 * scores.std() / np.sqrt(400)
    assert (found.high - found.low) / 2 == pytest.approx(error, rel=0.03)


def test_it_covers_the_true_mean_about_as_often_as_it_says():
    draws = np.random.default_rng(0).exponential(size=(400, 60))
    found = [evaluation.bootstrap_interval(x, num_resamples=500) for x in draws]
    covered = np.mean([e.low <= 1.0 <= e.high for e in found])
    assert covered == pytest.approx(0.93, abs=0.035)


def test_a_seed_gives_the_same_draws_and_blocks_of_memory_change_nothing(monkeypatch):
    scores = np.random.default_rng(0).normal(size=30)
    found = evaluation.bootstrap_interval(scores, seed=3)
    assert found != evaluation.bootstrap_interval(scores, seed=4)
    monkeypatch.setattr(_bootstrap, "MOST_DRAWN", 700)
    np.testing.assert_allclose(
        evaluation.bootstrap_interval(scores, seed=3), found, rtol=1e-12
    )


def test_pairing_takes_out_what_episodes_have_in_common():
    rng = np.random.default_rng(0)
    difficulty = rng.normal(size=40)
    before, after = difficulty, difficulty + 0.1 + 0.01 * rng.normal(size=40)
    paired = evaluation.paired_bootstrap(before, after)
    assert paired == evaluation.bootstrap_interval(after - before)
    exact = evaluation.paired_interval(before, after)
    np.testing.assert_allclose(paired[1:], (exact.low, exact.high), atol=5e-4)


def test_a_ratio_of_sums_is_a_statistic_of_means():
    hits = np.array([[1.0, 2.0], [3.0, 4.0], [0.0, 0.0]])

    def ratio(means):
        with np.errstate(invalid="ignore"):
            return means[:, 0] / means[:, 1]

    found = evaluation.bootstrap_interval(hits, ratio)
    assert found.value == pytest.approx(4 / 6)
    assert (found.low, found.high) == (0.5, 0.75)  # Draws without either are left out.


@pytest.mark.parametrize("scores", [np.zeros(0), np.zeros((2, 2, 2))])
def test_other_than_scores_of_episodes_are_refused_with_their_shape(scores):
    with pytest.raises(ValueError, match="one episode at least, got shape"):
        evaluation.bootstrap_interval(scores)


def test_scores_of_different_episodes_are_not_paired():
    with pytest.raises(ValueError, match=r"same episodes, got \(3,\) and \(4,\)"):
        evaluation.paired_bootstrap(np.zeros(3), np.zeros(4))


@pytest.mark.parametrize("size", [6, 9, 20, 101])
def test_the_interval_of_a_median_covers_at_least_as_often_as_it_says(size):
    """Exactly: x_(k) and x_(n+1-k) miss it if fewer than k values are on one side."""
    found = evaluation.median_interval(np.arange(1.0, size + 1))
    assert found.value == (size + 1) / 2
    place = int(found.low)
    assert found.high == size + 1 - place
    covers = 1 - 2 * stats.binom.cdf(place - 1, size, 0.5)
    assert covers >= 0.95
    narrower = 1 - 2 * stats.binom.cdf(place, size, 0.5)
    assert narrower < 0.95


def test_the_interval_of_a_median_of_few_values_is_all_of_them():
    assert evaluation.median_interval(np.array([2.0, 1.0])) == (1.5, 1.0, 2.0)
    with pytest.raises(ValueError, match="at least one, got shape"):
        evaluation.median_interval(np.zeros(0))
