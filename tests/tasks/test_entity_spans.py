"""Tests for entities: parsing of tags, alignment to words, runs of classes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metaflax import tasks
from metaflax.tasks._entity_spans import (
    Entity,
    Run,
    entities_of_runs,
    entities_of_tags,
    whole_words,
)
from metaflax.tasks._words import word_spans
from tests.tasks.texts import TEXTS, TYPES, entities_in

E = Entity
WORDS = ((0, 2), (3, 8), (8, 9), (12, 14))


def test_tags_are_read_as_entities():
    tags = ["B-x", "B-x", "I-x", "O"]
    assert entities_of_tags(tags, WORDS) == (E(0, 2, "x"), E(3, 9, "x"))
    tags = ["O", "B-x-y", "B-z", "I-z"]  # A type may have a dash.
    assert entities_of_tags(tags, WORDS) == (E(3, 8, "x-y"), E(8, 14, "z"))
    assert entities_of_tags([], []) == ()


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        (["O"] * 3, "there are 4 words and 3 tags"),
        (["I-x", "O", "O", "O"], r"tag 0 \(counted from 0\) is 'I-x', which follows"),
        (["B-x", "O", "I-x", "O"], "tag 2 .* is 'I-x', which follows neither 'B-x'"),
        (["O", "B-x", "I-y", "O"], "tag 2 .* an entity begins with 'B-y'"),
        (["O", "O", "O", "E-x"], "tag 3 .* is 'E-x'; tags are 'O', 'B-type'"),
        (["O", "b-x", "O", "O"], "tag 1 .* is 'b-x'; tags are"),
        (["O", "", "O", "O"], "tag 1 .* is ''; tags are"),
        (["O", "B", "O", "O"], "tag 1 .* is 'B'; tags are"),
        (["O", "B- ", "O", "O"], "tag 1 .* is 'B- ', which names no type"),
        (["O", "I-", "O", "O"], "tag 1 .* is 'I-', which names no type"),
    ],
)
def test_tags_that_describe_nothing_are_refused_by_their_number(tags, message):
    with pytest.raises(ValueError, match=message):
        entities_of_tags(tags, WORDS)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_tags_written_for_entities_are_read_as_these(drawn):
    words = word_spans(drawn.draw(TEXTS))
    entities = drawn.draw(entities_in(words))
    runs = tasks.runs_of_entities(entities, words, TYPES)
    names = (*tasks.BIO.tags(TYPES), "O")
    tags = [names[c] for c in tasks.BIO.encode(runs, len(words), len(TYPES))]
    assert entities_of_tags(tags, words) == entities


def test_entities_take_the_words_they_touch_and_lose_outer_spaces():
    given_, length = [E(4, 6, "x"), E(9, 14, "y"), E(0, 2, "z")], 15
    expected = (E(0, 2, "z"), E(3, 8, "x"), E(12, 14, "y"))
    assert whole_words(given_, WORDS, length) == (expected, 2)
    assert whole_words(expected, WORDS, length) == (expected, 0)
    assert whole_words([], [], 0) == ((), 0)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_whole_words_are_the_least_that_hold_all_of_an_entity(drawn):
    text = drawn.draw(TEXTS)
    words = word_spans(text)
    ends = st.tuples(st.integers(0, len(text)), st.integers(0, len(text)))
    start, end = sorted(drawn.draw(ends))
    touched = [w for w in words if w[0] < end and w[1] > start]
    if start == end or not text[start:end].strip():
        with pytest.raises(ValueError, match=r"is empty|holds no word"):
            whole_words([E(start, end, "x")], words, len(text))
        return
    (found,), moved = whole_words([E(start, end, "x")], words, len(text))
    assert found == E(touched[0][0], touched[-1][1], "x")
    assert moved == (found != E(start, end, "x"))


@pytest.mark.parametrize(
    ("entities", "message"),
    [
        ([E(3, 16, "x")], r"\[3, 16\] \('x'\) is empty or outside of a text of length"),
        ([E(-1, 2, "x")], r"\[-1, 2\] .* outside"),
        ([E(3, 3, "x")], r"\[3, 3\] .* is empty"),
        ([E(10, 11, "x")], r"\[10, 11\] .* holds no word"),
        (
            [E(3, 8, "x"), E(0, 4, "y")],
            r"\[0, 4\] \('y'\) and \[3, 8\] \('x'\) overlap",
        ),
        ([E(3, 5, "x"), E(5, 8, "x")], "or share a word"),
        ([E(0, 2, "x"), E(0, 2, "x")], "overlap"),
    ],
)
def test_entities_that_cannot_be_are_named(entities, message):
    with pytest.raises(ValueError, match=message):
        whole_words(entities, WORDS, 15)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_runs_of_words_are_entities_again(drawn):
    words = word_spans(drawn.draw(TEXTS))
    entities = drawn.draw(entities_in(words))
    runs = tasks.runs_of_entities(reversed(entities), words, TYPES)
    assert entities_of_runs(runs, words, TYPES) == entities


def test_entities_beyond_the_words_at_hand_are_left_out_or_cut():
    entities = [E(0, 2, "x"), E(3, 9, "y"), E(12, 14, "x")]
    runs = tasks.runs_of_entities(entities, WORDS[:2], ["x", "y"])
    assert runs == (Run(0, 1, 0), Run(1, 2, 1))


def test_a_word_of_two_entities_is_in_the_first():
    entities = [E(0, 2, "x"), E(3, 8, "x")]
    assert tasks.runs_of_entities(entities, [(0, 8)], ["x"]) == (Run(0, 1, 0),)


def test_an_entity_of_no_known_type_is_refused():
    with pytest.raises(ValueError, match=r"\('z'\) has none of the types 'x', 'y'"):
        tasks.runs_of_entities([E(0, 2, "z")], WORDS, ["x", "y"])
