"""Tests for reading fields of a row, and for their error messages."""

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


@pytest.mark.parametrize(
    ("value", "separator", "names"),
    [
        (["a", "b", "a"], None, ("a", "b")),
        ('["a", "b"]', None, ("a", "b")),
        ('["Food, drinks"]', None, ("Food, drinks",)),
        (' [ "a|b" ] ', "|", ("a|b",)),
        ("a|b", "|", ("a", "b")),
        ("a, b", ",", ("a", "b")),
        ("a|", "|", ("a",)),
        ("[PAD]", None, ("[PAD]",)),
        ("a", None, ("a",)),
        (3, None, ("3",)),
    ],
)
def test_lists_of_labels_are_read_from_lists_json_and_separated_strings(
    value, separator, names
):
    fields = Fields({"label": value}, "a.csv:2", separator=separator)
    assert fields.names("label") == fields.several_names("label") == names


@pytest.mark.parametrize("value", ["a|b", "a; b", "a,b", "a\tb", "a\nb"])
def test_what_may_be_one_label_or_several_is_refused_where_there_may_be_several(value):
    fields = Fields({"label": value}, "a.csv:2")
    assert fields.names("label") == (value,)  # One label a text: a name like any other.
    with pytest.raises(ValueError, match=r"a\.csv:2: .* one label or several; give"):
        fields.several_names("label")


@pytest.mark.parametrize("value", ["['a', 'b']", "['a' 'b']", '["a", "b"', "('a',)"])
def test_a_list_in_another_notation_than_json_is_refused(value):
    with pytest.raises(ValueError, match="looks like a list and is no JSON"):
        Fields({"label": value}, "a.csv:2").names("label")


@pytest.mark.parametrize("value", [[], "[]", " | "])
def test_an_empty_list_of_labels_is_refused_in_every_notation(value):
    with pytest.raises(ValueError, match="is an empty list"):
        Fields({"label": value}, "a.csv:2", separator="|").names("label")
