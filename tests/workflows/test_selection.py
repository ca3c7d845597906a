"""Tests of the selection of texts to label next."""

import numpy as np
import pytest

from metaflax.workflows.inference._selection import entropies, margins, select

STRATEGIES = ("mix", "uncertainty", "margin", "diversity")


def pool(rows=60, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(classes), rows)
    return probabilities, rng.normal(size=(rows, 4)).astype(np.float32)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("number", [1, 7, 60, 100])
def test_distinct_rows_by_falling_score(strategy, number):
    probabilities, features = pool()
    chosen = select(probabilities, features, number, strategy)
    rows, scores = zip(*chosen, strict=True)
    assert len(set(rows)) == len(rows) == min(number, 60)
    assert list(scores) == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert chosen == select(probabilities, features, number, strategy)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_rows_of_equal_features_are_selected_once_before_any_twice(strategy):
    features = np.repeat(np.eye(4, dtype=np.float32), 5, axis=0)
    probabilities = np.full((20, 2), 0.5)
    rows = [s.row for s in select(probabilities, features, 6, strategy)]
    assert len(set(rows)) == 6
    if strategy in ("mix", "diversity"):
        assert {row // 5 for row in rows} == {0, 1, 2, 3}


def test_entropy_and_margin_are_those_of_the_definitions():
    even, sure = np.full((1, 4), 0.25), np.eye(4)[:1]
    assert entropies(even) == pytest.approx(1)
    assert entropies(sure) == pytest.approx(0)
    shares = np.array([[0.7, 0.2, 0.1]])
    assert margins(shares) == pytest.approx(0.5)
    expected = -sum(p * np.log(p) for p in shares[0]) / np.log(3)
    assert entropies(shares) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("strategy", "best"), [("uncertainty", 1), ("margin", 0)]
)  # Of three classes, where they disagree.
def test_uncertainty_is_of_all_classes_and_margin_of_two(strategy, best):
    shares = np.array([[0.5, 0.5, 0.0], [0.45, 0.3, 0.25], [0.9, 0.1, 0.0]])
    assert select(shares, np.eye(3), 1, strategy)[0].row == best


def clustered(sizes=(30, 20, 10), seed=0):
    """Features in blobs, and the blob of each row."""
    rng = np.random.default_rng(seed)
    blobs = np.repeat(np.arange(len(sizes)), sizes)
    return 5 * np.eye(len(sizes))[blobs] + 0.1 * rng.normal(size=(60, 3)), blobs


def test_diversity_takes_one_row_of_each_cluster_the_largest_first():
    features, blobs = clustered()
    chosen = select(np.full((60, 2), 0.5), features, 3, "diversity")
    assert [blobs[s.row] for s in chosen] == [0, 1, 2]
    assert [s.score for s in chosen] == pytest.approx([0.5, 1 / 3, 1 / 6])


def test_the_mix_is_diverse_among_the_uncertain():
    features, blobs = clustered()
    sure = np.tile([[0.99, 0.01]], (60, 1))
    uncertain = np.flatnonzero(np.arange(60) % 2)
    sure[uncertain] = 0.5 + np.linspace(0, 0.01, 30)[:, None] * [[1, -1]]
    rows = [s.row for s in select(sure, features, 3, "mix")]
    assert set(rows) <= set(uncertain)
    assert {blobs[row] for row in rows} == {0, 1, 2}
    plain = [s.row for s in select(sure, features, 3, "margin")]
    assert {blobs[row] for row in plain} == {0}


def test_features_may_be_tiny():
    """As in a directory whose standardisation is folded into weights."""
    features, _ = clustered()
    probabilities, _ = pool()
    for strategy in STRATEGIES:
        chosen = select(probabilities, features, 5, strategy)
        small = select(probabilities, (1e-25 * features), 5, strategy)
        assert [s.row for s in chosen] == [s.row for s in small]


def test_wrong_arguments_are_named():
    probabilities, features = pool()
    with pytest.raises(ValueError, match="number is 0"):
        select(probabilities, features, 0)
    with pytest.raises(ValueError, match="strategy is 'best'"):
        select(probabilities, features, 1, "best")  # pyright: ignore
