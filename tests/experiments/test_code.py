"""Tests of the regular expressions of the experiment on code."""

import itertools
import re
import time

import pytest

from tests.experiments import scripts

pytestmark = scripts.beside_tests

from experiments.code import _parse, expressions, task  # noqa: E402

TEXTS = [
    "".join(letters) for n in range(5) for letters in itertools.product("ab ", repeat=n)
]


@pytest.mark.parametrize(
    "expression",
    [
        *("a", "ab*", "(a|b)+", "a?b{2}", "[ab]{1,3}", ".*a.*", "[^a]*b", "a{2,}"),
        *(r"\ba.*\b", r".*\bb\b.*", "(ab|a)(b|ba)", "((a*)*b)*", r"\w+ \w*", ""),
    ],
)
def test_expressions_without_extensions_match_as_those_of_python(expression):
    node = _parse.parse(expression)
    for text in TEXTS:
        expected = re.fullmatch(expression, text, re.ASCII) is not None
        assert expressions.matches(node, text) == expected, text


def test_complement_and_intersection_are_those_of_sets():
    first, second = ".*a.*", ".*b.*"
    for text in TEXTS:
        a, b = (expressions.matches(_parse.parse(e), text) for e in (first, second))
        both = _parse.parse(f"({first})&({second})")
        without = _parse.parse(f"({first})&(~({second}))")
        assert expressions.matches(both, text) == (a and b)
        assert expressions.matches(without, text) == (a and not b)


def test_an_expression_of_exponential_time_in_others_is_matched_at_once():
    started = time.process_time()
    assert not expressions.matches(_parse.parse("(a*)*(a|aa)*b"), "a" * 28)
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("(.*dog.*)&(.*cat.*)", "(.*cat.*)&(.*dog.*)", True),
        ("~(~(dog))", "dog", True),
        ("(dog)+", "dog(dog)*", True),
        ("[aeiou].*", "([aeiou])(.*)", True),
        ("(dog){3,}", "(dog){2,}", False),
        (".*truck.*", "truck.*", False),
        ("(dog", "dog", None),
        ("a" * 3 + "(" * 60 + ")" * 60, "a", None),
        ("a{9999999}", "a", None),
    ],
)
def test_expressions_are_equivalent_where_they_match_the_same(first, second, expected):
    assert expressions.equivalent(first, second) is expected


def test_only_regular_expressions_are_counted_by_method():
    pairs = [
        ("regex_kb13", "a|b", "b|a"),
        ("regex_kb13", "(", "a"),
        ("bash", "ls", "ls"),
    ]
    records = [
        {"domain": domain, "target": target, "generated": {"m": text}}
        for domain, text, target in pairs
    ]
    counts = {"expressions": 2, "valid": 1, "exact": 0, "equivalent": 1}
    assert expressions.equivalence(records) == {"m": counts}


def test_code_is_exact_up_to_white_space():
    scores = task.score(["a  = 1", "b"], ["a = 1", "c"])
    assert scores["exact"] == 50
    assert 0 < scores["chrf"] < 100
