"""Tests of clusters of features."""

import numpy as np
import pytest

from metaflax.data.raw_text._clusters import clusters


def test_what_lies_together_is_one_cluster_and_0_has_most():
    rng = np.random.default_rng(0)
    centres = 5 * np.eye(3)
    kinds = rng.permutation(np.repeat([2, 0, 1], [5, 20, 10]))
    features = centres[kinds] + 0.1 * rng.normal(size=(35, 3))
    found = clusters(features, 3)
    assert set(zip(found, kinds.tolist(), strict=True)) == {(0, 0), (1, 1), (2, 2)}


def test_a_seed_gives_the_same_clusters_each_time():
    features = np.random.default_rng(0).normal(size=(40, 2))
    assert clusters(features, 4, seed=1) == clusters(features, 4, seed=1)
    assert sorted(set(clusters(features, 4))) == [0, 1, 2, 3]


@pytest.mark.parametrize("number", [0, 3])
def test_more_clusters_than_rows_are_refused(number):
    with pytest.raises(ValueError, match=f"2 rows do not make {number} clusters"):
        clusters(np.zeros((2, 1)), number)
