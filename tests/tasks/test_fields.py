"""Tests for what is taken from a row, and how what is wrong is named."""

import pytest

from metaflax.tasks import Fields


def row(**values):
    return Fields(values, "a.jsonl:7", {"label": "score"})


@pytest.mark.parametrize(
    ("value", "expected"), [(3, 3.0), ("2.5", 2.5), (-0.0, 0.0), ("1e2", 100.0)]
)
def test_numbers_and_their_strings_are_numbers(value, expected):
    assert row(score=value).number("label") == expected


@pytest.mark.parametrize(
    "value", ["high", "", None, True, float("nan"), float("inf"), "nan", [1.0]]
)
def test_what_is_no_number_is_named_with_its_place(value):
    message = r"a\.jsonl:7: 'score' holds .* where a number is expected"
    with pytest.raises(ValueError, match=message):
        row(score=value).number("label")


def test_a_missing_column_is_named_beside_those_there_are():
    with pytest.raises(ValueError, match="a.jsonl:7: no column 'score'.*'stars'"):
        row(stars=3).number("label")


def test_a_role_without_a_column_of_its_own_is_its_own_name():
    assert row(text="it barks").text("text") == "it barks"
    assert row(score="4").has("label")
    assert not row(label="4").has("label")
