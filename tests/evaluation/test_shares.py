"""Tests for shares over episodes: Wilson's interval, and its coverage."""

import numpy as np
import pytest
from scipy import stats

from metaflax.evaluation._shares import share_interval


def test_of_single_things_it_is_wilsons_interval_as_scipy_gives_it():
    hits = np.array([1, 0, 1, 1, 0, 1, 1])
    found = share_interval(hits, np.ones(7))
    exact = stats.binomtest(5, 7).proportion_ci(method="wilson")
    np.testing.assert_allclose(found, (5 / 7, exact.low, exact.high))


def test_things_of_one_episode_count_as_one():
    alone = share_interval([1, 0, 1], [1, 1, 1])
    together = share_interval([5, 0, 5], [5, 5, 5])
    assert together == pytest.approx(alone)


def test_it_covers_the_true_share_whether_or_not_episodes_are_alike():
    rng = np.random.default_rng(0)
    for concentration in (0.1, 100.0):  # All alike within an episode, or independent.
        a, b = 0.8 * concentration, 0.2 * concentration
        hits = rng.binomial(5, rng.beta(a, b, size=(2000, 12)))
        found = [share_interval(row, np.full(12, 5)) for row in hits]
        covered = np.mean([e.low <= 0.8 <= e.high for e in found])
        assert covered > 0.93


def test_nothing_is_known_without_chances_and_little_of_one_episode():
    assert share_interval([0, 0], [0, 0]) == (0.0, 0.0, 1.0)
    share, low, high = share_interval([0, 3], [0, 5])
    assert share == 0.6
    assert low < 0.2
    assert high > 0.9
