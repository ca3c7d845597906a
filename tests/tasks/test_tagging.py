"""Tests for tagging schemes: encoding, decoding and transitions."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities

from metaflax.tasks import BIO, IO
from metaflax.tasks._entity_spans import Run
from metaflax.tasks._tagging import Tagging

N = 3


@st.composite
def runs(draw, num_words):
    result, place = [], 0
    while place < num_words:
        end = draw(st.integers(place, num_words))
        if place < end:
            result.append(Run(place, end, draw(st.integers(0, N - 1))))
        place = max(end, place + draw(st.integers(0, 2)), place + (end == place))
    return tuple(result)


def merged(given_runs):
    result = []
    for run in given_runs:
        if result and (result[-1].end, result[-1].type) == (run.start, run.type):
            result[-1] = result[-1]._replace(end=run.end)
        else:
            result.append(run)
    return tuple(result)


@given(st.data(), st.integers(0, 12))
@settings(max_examples=300, deadline=None)
def test_what_is_encoded_is_decoded(drawn, num_words):
    entities = drawn.draw(runs(num_words))
    for tagging, expected in ((BIO, entities), (IO, merged(entities))):
        classes = tagging.encode(entities, num_words, N)
        assert (classes.shape, classes.dtype) == ((num_words,), np.int32)
        assert tagging.decode(classes, N) == expected


@given(st.data(), st.integers(1, 12))
@settings(max_examples=300, deadline=None)
def test_what_is_encoded_keeps_to_the_transitions(drawn, num_words):
    entities = drawn.draw(runs(num_words))
    for tagging in (BIO, IO):
        classes = tagging.encode(entities, num_words, N)
        start, allowed = tagging.transitions(N)
        assert start[classes[0]]
        assert allowed[classes[:-1], classes[1:]].all()


@pytest.mark.parametrize("tagging", [BIO, IO])
@pytest.mark.parametrize("num_types", [1, 2, 3])
def test_transitions_allow_exactly_what_encodes_itself(tagging, num_types):
    start, allowed = tagging.transitions(num_types)
    num_classes = len(tagging.tags([*"abc"][:num_types])) + 1
    assert start.shape == (num_classes,)
    assert allowed.shape == (num_classes, num_classes)
    for pair in itertools.product(range(num_classes), repeat=2):
        again = tagging.encode(tagging.decode(np.array(pair), num_types), 2, num_types)
        valid = again.tolist() == list(pair)
        assert valid == (start[pair[0]] and allowed[pair])


@given(st.lists(st.integers(0, 2 * N), max_size=15))
@settings(max_examples=500, deadline=None)
def test_any_classes_are_decoded_as_seqeval_reads_their_tags(classes):
    types = ("x", "y", "z")
    names = (*BIO.tags(types), "O")
    expected = get_entities([names[c] for c in classes])
    found = BIO.decode(np.array(classes, int), N)
    assert [(types[n], a, b - 1) for a, b, n in found] == expected


def test_classes_are_named_in_the_order_of_types_without_o():
    assert IO.tags(["x", "y"]) == ("x", "y")
    assert BIO.tags(["x", "y"]) == ("B-x", "I-x", "B-y", "I-y")


def test_o_is_the_last_class():
    assert IO.encode([], 2, N).tolist() == [N, N]
    assert BIO.encode([], 2, N).tolist() == [2 * N, 2 * N]


def test_a_scheme_is_a_value_that_others_can_be_made_of():
    upper = IO._replace(tags=lambda types: tuple(map(str.upper, types)))
    assert isinstance(upper, Tagging)
    assert upper.tags(["x"]) == ("X",)
