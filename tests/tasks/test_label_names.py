"""Tests for names of labels."""

import unicodedata

import pytest

from metaflax.tasks._label_names import label_name, similar_names


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ((1, 1.0, "1", "1.0", "1.00", " 1 "), "1"),
        ((0, -0.0, "0.0", "-0", "-0.0"), "0"),
        ((-3, -3.0, "-3.0"), "-3"),
        ((True, "True", "TRUE", "true "), "true"),
        ((False, "False", "false"), "false"),
        ((0.5, "0.5"), "0.5"),
        (("pos", " pos", "pos\n"), "pos"),
        (("007",), "007"),
        (("1.0.0",), "1.0.0"),
        (("v1.0",), "v1.0"),
        ((2.0**60,), "1.152921504606847e+18"),
    ],
)
def test_a_value_has_one_name_however_a_format_writes_it(values, name):
    assert {label_name(value) for value in values} == {name}
    assert label_name(name) == name


COFFEE = unicodedata.normalize("NFC", "café"), unicodedata.normalize("NFD", "café")


@pytest.mark.parametrize(
    "pair",
    [
        ("pos", "Pos"),
        ("very good", "very  good"),
        ("verygood", "very good"),
        ("x\u200by", "xy"),
        ("STRASSE", "straße"),
        ("ﬁne", "fine"),
        ("1.50", "1.5"),
        ("01", "1"),
        COFFEE,
    ],
)
def test_names_of_the_same_form_are_grouped_and_others_are_not(pair):
    [group] = similar_names(["else", *pair, "other"])
    assert set(group) == set(pair)


def test_different_names_are_not_similar():
    names = ["pos", "neg", "1", "2", "1.25", "café", "cafe", "nan", "inf", "infinity"]
    assert similar_names(names) == []
