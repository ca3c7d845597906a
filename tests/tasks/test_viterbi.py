"""Tests for Viterbi decoding against exhaustive search, and for transitions."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metaflax import tasks
from metaflax.tasks._viterbi import AbstractTransitions, spread, viterbi


def value(classes, scores, start, transitions):
    steps = sum(transitions[a, b] for a, b in itertools.pairwise(classes))
    words = sum(own[c] for own, c in zip(scores, classes, strict=True))
    return start[classes[0]] + steps + words


def best_of_all(scores, start, transitions):
    """The best sequence by exhaustive search."""
    num_words, num_classes = scores.shape
    every = itertools.product(range(num_classes), repeat=num_words)
    return max(value(classes, scores, start, transitions) for classes in every)


@given(
    seed=st.integers(0, 2**32 - 1),
    num_classes=st.integers(1, 4),
    lengths=st.lists(st.integers(0, 5), min_size=1, max_size=4),
    ruled_out=st.floats(0, 0.6),
)
@settings(max_examples=200, deadline=None)
def test_no_sequence_is_better(seed, num_classes, lengths, ruled_out):
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(len(lengths), max(lengths), num_classes))
    transitions = rng.normal(size=(num_classes, num_classes))
    transitions[rng.uniform(size=transitions.shape) < ruled_out] = -np.inf
    transitions[:, -1] = -1.0  # As O may follow on anything.
    start = rng.normal(size=num_classes)
    found = viterbi(scores, np.array(lengths), start, transitions)
    assert (found.shape, found.dtype) == (scores.shape[:2], np.int32)
    for classes, own, length in zip(found, scores, lengths, strict=True):
        assert (classes[length:] == -1).all()
        if length:
            mine = value(classes[:length], own[:length], start, transitions)
            assert mine == pytest.approx(best_of_all(own[:length], start, transitions))


def test_what_lies_beyond_a_text_is_not_looked_at():
    rng = np.random.default_rng(0)
    scores, lengths = rng.normal(size=(3, 6, 4)), np.array([2, 6, 0])
    start, transitions = rng.normal(size=4), rng.normal(size=(4, 4))
    expected = viterbi(scores, lengths, start, transitions)
    scores[0, 2:], scores[2] = np.nan, -np.inf
    assert (viterbi(scores, lengths, start, transitions) == expected).all()


def test_absent_classes_out_of_reach_do_no_harm():
    scores = np.random.default_rng(0).normal(size=(1, 40, 3)).astype(np.float32)
    scores[:, :, 1] = np.finfo(np.float32).min / 2
    found = viterbi(scores, np.array([40]), np.zeros(3), np.zeros((3, 3)))
    assert (found == scores.argmax(-1)).all()


def test_only_valid_tags_are_predicted_where_only_those_are_allowed():
    rng = np.random.default_rng(0)
    with np.errstate(divide="ignore"):
        start, transitions = (np.log(part) for part in tasks.BIO.transitions(3))
    scores, lengths = rng.normal(size=(50, 9, 7)), np.full(50, 9)
    for classes in viterbi(scores, lengths, start, transitions):
        again = tasks.BIO.encode(tasks.BIO.decode(classes, 3), 9, 3)
        assert again.tolist() == classes.tolist()


@pytest.mark.parametrize(
    "scores", [np.full((2, 1, 2), -np.inf), np.full((2, 1, 2), np.nan)]
)
def test_a_text_without_a_best_sequence_is_named(scores):
    scores[0] = 0
    with pytest.raises(ValueError, match="text 1 has no best sequence"):
        viterbi(scores, np.ones(2, int), np.zeros(2), np.zeros((2, 2)))


def test_no_texts_and_no_words_have_no_classes():
    for shape in ((0, 3, 2), (2, 0, 2)):
        lengths = np.zeros(shape[0], int)
        found = viterbi(np.zeros(shape), lengths, np.zeros(2), np.zeros((2, 2)))
        assert found.shape == shape[:2]


def test_abstract_transitions_are_counted_across_types():
    # O, x x, y, O; and y, O.
    sequences = [np.array([2, 0, 0, 1, 2]), np.array([1, 2]), np.array([], int)]
    start, outside, inside = tasks.abstract_transitions(sequences, 2)
    np.testing.assert_allclose(start, [2 / 4, 2 / 4])
    np.testing.assert_allclose(outside, [1 / 3, 2 / 3])
    np.testing.assert_allclose(inside, [3 / 7, 2 / 7, 2 / 7])


def test_new_types_share_what_was_counted():
    shares = AbstractTransitions(
        np.array([0.4, 0.6]), np.array([0.7, 0.3]), np.array([0.5, 0.3, 0.2])
    )
    start, transitions = spread(shares, 3)
    np.testing.assert_allclose(np.exp(start), [0.2, 0.2, 0.2, 0.4])
    expected = [[0.3, 0.1, 0.1, 0.5], [0.1, 0.3, 0.1, 0.5], [0.1, 0.1, 0.3, 0.5]]
    np.testing.assert_allclose(np.exp(transitions), [*expected, [0.1, 0.1, 0.1, 0.7]])


@pytest.mark.parametrize("num_types", [1, 2, 5])
@pytest.mark.parametrize("temperature", [0.0, 0.1, 1.0])
def test_what_is_spread_are_probabilities(num_types, temperature):
    counted = tasks.abstract_transitions([np.array([0, 1, 1, 2])], 2)
    start, transitions = spread(counted, num_types, temperature=temperature)
    np.testing.assert_allclose(np.exp(start).sum(), 1)
    np.testing.assert_allclose(np.exp(transitions).sum(axis=1), 1)
    if temperature == 0:
        np.testing.assert_allclose(np.exp(transitions), 1 / (num_types + 1))


def test_a_temperature_below_zero_is_refused():
    counted = tasks.abstract_transitions([], 2)
    with pytest.raises(ValueError, match="temperature is 0 or more, got -1"):
        spread(counted, 2, temperature=-1)
