"""Tests for tokenizing questions with windows of their contexts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metaflax.tasks._questions import Question
from metaflax.tasks._windows import encode_questions
from tests.tasks import words

TOKENIZER = words.bert("abcdefghijklmnopqrstuvwxyz")
# Characters that BERT's normaliser changes or drops, among any others.
ODD = st.sampled_from("a b\u0301é\u0130\u200d\u00ad\x00\ufffd한日½\t\u00a0e\u0308,")
TEXT = st.text(st.one_of(st.characters(exclude_categories=["Cs"]), ODD), max_size=24)


def rows(text, max_length):
    encoded = encode_questions(TOKENIZER, [text], max_length)
    return [
        (TOKENIZER.convert_ids_to_tokens(ids), types, spans)
        for ids, types, spans in zip(
            encoded["input_ids"],
            encoded["token_type_ids"],
            encoded["spans"],
            strict=True,
        )
    ]


def test_a_question_is_two_segments_with_places_in_the_context():
    [(tokens, types, spans)] = rows(Question("a b?", "c de"), None)
    assert tokens == ["[CLS]", "a", "b", "[UNK]", "[SEP]", "c", "d", "##e", "[SEP]"]
    assert types == [0] * 5 + [1] * 4
    assert spans == [(-1, -1)] * 5 + [(0, 1), (2, 3), (3, 4), (-1, -1)]


def test_a_long_context_is_cut_to_windows_that_overlap_by_half():
    text = Question("x y", "a b c d e f g")
    windows = [" ".join(tokens[4:-1]) for tokens, _, _ in rows(text, 9)]
    assert windows == ["a b c d", "c d e f", "e f g"]


def test_owners_tell_whose_windows_rows_are():
    texts = [Question("x", "a b c d e f"), Question("y", "a"), Question("z", "b c")]
    encoded = encode_questions(TOKENIZER, texts, 8)
    assert encoded["owners"] == [0, 0, 1, 2]


def test_a_long_question_is_cut_to_a_third_of_the_room():
    text = Question("a b c d e f g h", "x y z")
    cut = rows(text, 12)
    assert cut[0][0] == ["[CLS]", "a", "b", "c", "[SEP]", "x", "y", "z", "[SEP]"]
    assert all(len(tokens) <= 12 for tokens, _, _ in cut)


@given(TEXT, TEXT, st.integers(6, 40))
@settings(max_examples=80, deadline=None)
def test_every_token_of_a_context_is_in_a_window_and_each_window_has_new_ones(
    question, context, max_length
):
    text = Question(question, context)
    [(whole, _, spans)] = rows(text, None)
    own = [i for i, (start, _) in enumerate(spans) if start >= 0]
    windows = rows(text, max_length)
    read = 0
    for tokens, types, places in windows:
        assert len(tokens) <= max_length
        inside = [i for i, (start, _) in enumerate(places) if start >= 0]
        assert types == [
            int(i >= len(tokens) - len(inside) - 1) for i in range(len(tokens))
        ]
        assert tokens[-1] == "[SEP]"
        assert tokens[len(tokens) - len(inside) - 2] == "[SEP]"
        # Position of this window in the context: at most half overlaps the last one.
        room = max_length - 3 - (len(tokens) - len(inside) - 3)
        first = max(read - room // 2, 0)
        expected = own[first : first + room]
        assert [tokens[i] for i in inside] == [whole[i] for i in expected]
        assert [places[i] for i in inside] == [spans[i] for i in expected]
        assert first + len(inside) > read or not own
        read = first + len(inside)
    assert read == len(own)


@pytest.mark.parametrize("max_length", [12, 17, 30])
def test_the_windows_are_those_of_hugging_face(max_length):
    rng = np.random.default_rng(max_length)
    for _ in range(20):
        question, context = (
            " ".join(rng.choice(list("abcdefgh"), size))
            for size in rng.integers(1, [4, 60])
        )
        room = max_length - 3 - len(question.split())
        theirs = TOKENIZER(
            question,
            context,
            truncation="only_second",
            max_length=max_length,
            stride=room // 2,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        ours = encode_questions(TOKENIZER, [Question(question, context)], max_length)
        assert ours["input_ids"] == theirs["input_ids"]
        for row, spans in enumerate(ours["spans"]):
            sequences = theirs.sequence_ids(row)
            offsets = theirs["offset_mapping"][row]
            expected = [
                tuple(offset) if sequence == 1 else (-1, -1)
                for offset, sequence in zip(offsets, sequences, strict=True)
            ]
            assert spans == expected


@given(TEXT)
@settings(max_examples=80, deadline=None)
def test_what_follows_a_token_without_a_gap_belongs_to_one(context):
    [(_, _, spans)] = rows(Question("a", context), None)
    inside = [span for span in spans if span[0] >= 0]
    assert inside == sorted(inside)
    owned = {place for start, end in inside for place in range(start, end)}
    for place, char in enumerate(context[1:], start=1):
        if place - 1 in owned and not char.isspace():
            assert place in owned


def test_dropped_accents_go_with_their_letter():
    [(tokens, _, spans)] = rows(Question("a", "cafe\u0301 \u200dle\u200d"), None)
    assert tokens[3:-1] == ["c", "##a", "##f", "##e", "l", "##e"]
    assert spans[3:-1] == [(0, 1), (1, 2), (2, 3), (3, 5), (7, 8), (8, 10)]


@pytest.mark.parametrize("max_length", [1, 5])
def test_no_room_for_a_context_is_refused(max_length):
    with pytest.raises(ValueError, match=f"max_length is {max_length}.* choose 6"):
        encode_questions(TOKENIZER, [Question("a", "b")], max_length)
