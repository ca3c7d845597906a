"""Tests for NDCG and hits, with scikit-learn's NDCG as a reference."""

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from metaflax import metrics


@pytest.mark.parametrize("k", [1, 3, 10, 50])
@pytest.mark.parametrize("levels", [None, 4, 1], ids=["distinct", "some equal", "all"])
def test_ndcg_is_that_of_scikit_learn_with_equal_scores_too(k, levels):
    rng = np.random.default_rng(0)
    for size in (2, 7, 30):
        gains = rng.integers(0, 6, size).astype(float)
        gains[0] = 5.0
        scores = (
            rng.normal(size=size) if levels is None else rng.integers(levels, size=size)
        )
        ours = metrics.ndcg_at(scores, gains, k)
        np.testing.assert_allclose(ours, ndcg_score([gains], [scores], k=k), rtol=1e-12)
        order = rng.permutation(size)  # The order in the list does not matter.
        assert metrics.ndcg_at(scores[order], gains[order], k) == pytest.approx(ours)


def test_ndcg_of_a_list_by_hand():
    gains = 2.0 ** np.array([1, 3, 2]) - 1  # 1, 7, 3
    found = metrics.ndcg_at([3.0, 2.0, 1.0], gains, 2)
    assert found == pytest.approx((1 + 7 / np.log2(3)) / (7 + 3 / np.log2(3)))
    assert metrics.ndcg_at([1.0, 2.0], [0.0, 0.0], 10) == 0.0
    assert metrics.ndcg_at([-np.inf, 0.0], [0.0, 1.0], 1) == 1.0


def test_a_hit_needs_a_relevant_one_ahead_of_its_equals():
    scores, relevant = [3.0, 2.0, 2.0, 1.0], [0, 1, 0, 1]
    assert [metrics.hit_at(scores, relevant, k) for k in (1, 2, 3)] == [0.0, 0.0, 1.0]
    assert metrics.hit_at([5.0, 5.0], [1, 1], 1) == 1.0
    assert metrics.hit_at(scores, [0, 0, 0, 0], 4) == 0.0


@pytest.mark.parametrize("metric", [metrics.ndcg_at, metrics.hit_at])
def test_what_is_no_list_is_refused(metric):
    with pytest.raises(ValueError, match=r"\[C\].*\[2\] and \[3\]"):
        metric([1.0, 2.0], [1.0, 2.0, 3.0], 1)
    with pytest.raises(ValueError, match="one at least"):
        metric([], [], 1)
    with pytest.raises(ValueError, match="k=0"):
        metric([1.0], [1.0], 0)
    with pytest.raises(ValueError, match="not a number"):
        metric([np.nan], [1.0], 1)


@pytest.mark.parametrize("gain", [-1.0, np.inf, np.nan])
def test_a_gain_below_zero_or_without_end_is_refused(gain):
    with pytest.raises(ValueError, match="0 or more"):
        metrics.ndcg_at([1.0, 2.0], [1.0, gain], 1)
