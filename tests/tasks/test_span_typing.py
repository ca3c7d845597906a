"""Tests for entities whose words are detected separately and typed together."""

from typing import Any

import numpy as np
import pytest

from metaflax import tasks
from metaflax.tasks._entities import decode_entities
from metaflax.tasks._sentences import Sentence
from metaflax.tasks._span_typing import type_spans
from metaflax.tasks._token_level import TokenOutputs

NAMES = ["person", "city", "O"]
# Each word prefers another type, the third no entity; the second is most confident.
SURE = np.log([[0.40, 0.35, 0.25], [0.02, 0.90, 0.08], [0.2, 0.3, 0.5]])


def of(*texts, **settings):
    """The classes of texts, with NaN logits beyond their end."""
    scores = np.full((len(texts), max(map(len, texts)), 3), np.nan)
    for row, text in zip(scores, texts, strict=True):
        row[: len(text)] = text
    lengths = np.array([len(text) for text in texts])
    return type_spans(scores, lengths, **settings).tolist()


def test_neighbouring_words_in_entities_have_the_type_they_agree_on():
    assert of(SURE) == [[1, 1, 2]]
    assert SURE.argmax(axis=-1).tolist() == [0, 1, 2]  # Word by word they differ.


def test_the_type_is_weighed_given_that_a_word_is_in_an_entity():
    # The second word is less surely in an entity, and about as sure of its type.
    first, second = [0.80, 0.16, 0.04], [0.07, 0.63, 0.30]
    assert of(np.log([first, second])) == [[1, 1]]


def test_types_count_together_against_none():
    assert of(np.log([[0.3, 0.3, 0.4]]))[0] != [2]


def test_a_threshold_is_one_of_log_odds():
    odds = np.log([[0.5, 0.25, 0.25]])  # Three to one.
    assert of(odds, threshold=np.log(2.9)) == [[0]]
    assert of(odds, threshold=np.log(3.1)) == [[2]]


def test_spans_end_with_words_in_none_and_with_their_text():
    inside, none = SURE[1], SURE[2]
    texts = ([inside, none, inside], [inside], [none, inside])
    assert of(*texts) == [[1, 2, 1], [1, 2, 2], [2, 1, 2]]


def test_absent_types_and_texts_of_no_word_do_no_harm():
    absent = np.finfo(np.float32).min / 2
    scores = np.array([[[absent, -0.1, -2.0], [absent, -2.0, -0.1]]])
    assert type_spans(scores, np.array([2])).tolist() == [[1, 2]]
    assert type_spans(np.zeros((2, 0, 3)), np.zeros(2, int)).shape == (2, 0)
    assert type_spans(np.zeros((1, 2, 1)), np.array([2])).tolist() == [[0, 0]]


def test_a_name_of_two_words_is_one_entity():
    text = "New York is"
    spans = np.array([[-1, -1], [0, 3], [4, 8], [9, 11], [-1, -1]])
    logits = np.zeros((1, 5, 3))
    logits[0, 1:4] = SURE
    outputs = TokenOutputs(
        [Sentence(text, ((0, 3), (4, 8), (9, 11)))], [0], [spans], logits
    )
    by_word = decode_entities(outputs, NAMES)[0]["entities"]
    assert [entity["text"] for entity in by_word] == ["New", "York"]
    (entity,) = decode_entities(outputs, NAMES, typing="spans")[0]["entities"]
    assert (entity["text"], entity["type"]) == ("New York", "city")
    assert entity["score"] == pytest.approx((0.35 + 0.90) / 2)


def test_a_typing_that_is_unknown_or_of_another_scheme_is_refused():
    unknown: Any = "span"
    with pytest.raises(ValueError, match="unknown typing 'span'; there is words and"):
        tasks.entities(typing=unknown)
    with pytest.raises(ValueError, match="threshold of entities is -1.0, and words"):
        tasks.entities(threshold=-1.0)
    with pytest.raises(ValueError, match="typed as spans take tagging 'io'"):
        tasks.entities(typing="spans", tagging="bio")
