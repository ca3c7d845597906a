"""Tests that answers survive conversion to tokens and back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metaflax.base._units import SpanCode
from metaflax.tasks._questions import Answer, Question
from metaflax.tasks._span_codes import num_lost, span_codes
from metaflax.tasks._windows import encode_questions
from tests.tasks.test_windows import TEXT, TOKENIZER

OUTSIDE, INSIDE, START, END, BOTH = SpanCode


def passage(context, start, end):
    return Answer(context[start:end], start, end)


def spans_of(text, max_length=None):
    encoded = encode_questions(TOKENIZER, [text], max_length)
    return [np.array(spans, np.int32) for spans in encoded["spans"]]


def codes_of(context, answers, max_length=None):
    text = Question("q", context)
    return [
        span_codes(text, answers, spans, ()).tolist()
        for spans in spans_of(text, max_length)
    ]


def test_the_first_and_the_last_token_of_an_answer_are_marked():
    [codes] = codes_of("a bc de f", [passage("a bc de f", 2, 7)])
    # [CLS] q [SEP] a b ##c d ##e f [SEP]
    assert codes == [0, -1, -1, 0, START, 0, 0, END, 0, -1]


def test_an_answer_of_one_token_is_both():
    [codes] = codes_of("a b c", [passage("a b c", 2, 3)])
    assert codes == [0, -1, -1, 0, BOTH, 0, -1]


def test_without_an_answer_it_is_the_first_token():
    assert codes_of("a b", []) == [[BOTH, -1, -1, 0, 0, -1]]


def test_windows_without_all_of_an_answer_have_none():
    context = "a b c d e f g h"  # Windows: a b c d, c d e f, e f g h.
    whole = codes_of(context, [passage(context, 2, 5)], 8)
    assert whole == [
        [0, -1, -1, 0, START, END, 0, -1],
        [BOTH, -1, -1, 0, 0, 0, 0, -1],
        [BOTH, -1, -1, 0, 0, 0, 0, -1],
    ]
    assert num_lost([passage(context, 2, 5)], list(map(np.array, whole))) == 0
    long = [passage(context, 2, 11)]  # b c d e f, longer than any window.
    rows = codes_of(context, long, 8)
    assert [row[0] for row in rows] == [BOTH] * 3
    assert num_lost(long, list(map(np.array, rows))) == 1


def test_of_several_answers_the_first_that_a_window_holds_is_learned():
    context = "a b c d e f"  # Windows: a b c d, c d e f.
    answers = [passage(context, 8, 11), passage(context, 0, 1), passage(context, 4, 5)]
    assert codes_of(context, answers, 8) == [
        [0, -1, -1, BOTH, 0, 0, 0, -1],
        [0, -1, -1, 0, 0, START, END, -1],
    ]


def test_no_answer_is_never_lost():
    assert num_lost([], list(map(np.array, codes_of("a b", [])))) == 0


@pytest.mark.parametrize(("start", "end"), [(1, 3), (1, 4), (2, 4)])
def test_gaps_around_an_answer_are_of_no_matter(start, end):
    context = "a b c"
    [codes] = codes_of(context, [passage(context, start, end)])
    assert codes == [0, -1, -1, 0, BOTH, 0, -1]
    assert codes_of(" b ", [passage(" b ", 0, 3)]) == [[0, -1, -1, BOTH, -1]]


def marked(codes, bit):
    return np.flatnonzero((codes > 0) & (codes & bit > 0)).tolist()


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_answers_in_any_text_survive_the_way_to_tokens_and_back(drawn):
    context = drawn.draw(TEXT.filter(str.strip))
    max_length = drawn.draw(st.none() | st.integers(6, 30))
    start, end = sorted(drawn.draw(st.tuples(*[st.integers(0, len(context))] * 2)))
    answer, text = passage(context, start, end), Question("q", context)
    [whole] = spans_of(text)
    starts, ends = whole[whole[:, 0] >= 0].T
    touched = np.flatnonzero((starts < end) & (ends > start))
    exact = start in starts and end in ends
    windows = spans_of(text, max_length)
    rows = [span_codes(text, [answer], window, ()) for window in windows]
    for codes, window in zip(rows, windows, strict=True):
        assert (codes[1:] == OUTSIDE).tolist() == (window[1:, 0] < 0).tolist()
        ([first], [last]) = marked(codes, START), marked(codes, END)
        if first == 0:
            assert last == 0
            continue
        back = slice(window[first, 0], window[last, 1])
        # All tokens of the answer, and nothing else.
        assert (back.start, back.stop) == (starts[touched[0]], ends[touched[-1]])
        assert not exact or context[back] == answer.text
    # An answer of at most half a window is whole in one of them.
    half = np.inf if max_length is None else (max_length - 4) // 2
    if exact and 0 < len(touched) <= half:
        assert num_lost([answer], rows) == 0
