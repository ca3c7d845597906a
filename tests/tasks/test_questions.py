"""Tests for questions and answers: reading, writing and error messages."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metaflax.tasks import Fields
from metaflax.tasks._questions import (
    Answer,
    Question,
    answers_row,
    question_row,
    read_answers,
    read_question,
)

CONTEXT = "Ada wrote notes. Ada thought."
ROW = {"question": "Who wrote?", "context": CONTEXT, "answers": []}


def fields(columns=None, **changes):
    return Fields({**ROW, **changes}, "q.jsonl:7", columns or {})


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ([], ()),
        ([{"text": "Ada", "start": 0, "end": 3}], (Answer("Ada", 0, 3),)),
        ([{"text": "Ada", "start": 17}], (Answer("Ada", 17, 20),)),
        ([{"start": 4, "end": 15}], (Answer("wrote notes", 4, 15),)),
        ([{"text": "notes", "answer_start": 10}], (Answer("notes", 10, 15),)),
        (
            {"text": ["Ada", "Ada"], "answer_start": [17, 0]},
            (Answer("Ada", 17, 20), Answer("Ada", 0, 3)),
        ),
        ({"text": [], "answer_start": []}, ()),
    ],
)
def test_answers_are_read_in_every_form(held, expected):
    assert read_answers(fields(answers=held)) == expected


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_what_is_written_is_read_as_it_was(drawn):
    alphabet = st.characters(exclude_categories=["Cs"])
    texts = st.text(alphabet, min_size=1).filter(str.strip)
    text = Question(drawn.draw(texts), drawn.draw(texts))
    places = st.integers(0, len(text.context))
    ends = drawn.draw(st.lists(st.tuples(places, places).map(sorted), max_size=3))
    answers = tuple(
        Answer(text.context[start:end], start, end)
        for start, end in ends
        if text.context[start:end].strip()
    )
    row = Fields({**question_row(text), **answers_row(answers)}, "")
    assert read_question(row) == text
    assert read_answers(row) == answers


def test_columns_may_have_other_names():
    columns = {"question": "ask", "context": "passage", "answers": "gold"}
    row = {"ask": "a?", "passage": "b c", "gold": [{"start": 2, "end": 3}]}
    renamed = Fields(row, "", columns)
    assert read_question(renamed) == Question("a?", "b c")
    assert read_answers(renamed) == (Answer("c", 2, 3),)


@pytest.mark.parametrize(
    ("held", "message"),
    [
        ("Ada", "holds 'Ada' where a list of answers is expected"),
        (None, "holds None where a list of answers"),
        ({"text": "Ada", "answer_start": 0}, "where a list of answers is expected"),
        ({"text": ["Ada"], "answer_start": []}, "has 1 texts and 0 places"),
        (["Ada"], "holds 'Ada' where an answer is expected"),
        ([{"text": "Ada"}], "where an answer is expected: an object with `start`"),
        ([{"start": 0}], "where an answer is expected"),
        ([{"start": "0", "end": 3}], "where an answer is expected"),
        ([{"start": 0.0, "end": 3}], "where an answer is expected"),
        ([{"start": True, "end": 3}], "where an answer is expected"),
        ([{"start": 0, "text": 3}], "where an answer is expected"),
        ([{"start": -3, "text": "Ada"}], r"the range \[-3, 0\], outside of a context"),
        ([{"start": 26, "end": 30}], r"\[26, 30\], outside of a context of 29 char"),
        ([{"start": 3, "end": 0}], r"the range \[3, 0\], outside"),
        ([{"start": 1, "text": "Ada"}], "an answer that is not in its context: 'Ada'"),
        ([{"start": 0, "end": 4, "text": "Ada"}], "not in its context: 'Ada'.*'Ada '"),
        ([{"start": 0, "text": ""}], r"\[0, 0\], which holds no word"),
        ([{"start": 3, "end": 4}], r"\[3, 4\], which holds no word"),
    ],
)
def test_what_is_no_answer_is_named_with_its_place(held, message):
    with pytest.raises(ValueError, match=rf"q\.jsonl:7: 'answers' .*{message}"):
        read_answers(fields(answers=held))


@pytest.mark.parametrize("role", ["question", "context"])
@pytest.mark.parametrize("value", ["", " ", None, 3])
def test_an_empty_side_is_named_with_its_place(role, value):
    with pytest.raises(ValueError, match=rf"q\.jsonl:7: '{role}'"):
        read_question(fields(**{role: value}))


def test_a_missing_column_is_named_beside_those_there_are():
    row = Fields({"question": "a", "context": "b"}, "q.jsonl:7")
    with pytest.raises(ValueError, match="no column 'answers'; .*'context'"):
        read_answers(row)
