"""Tests for exact match and F1 of words, by hand and against a reimplementation."""

import random

import pytest

from metaflax import metrics

PIECES = ("the", "The", "a", "AN", "an", "cat", "Cat", "cats", "42", "É", "é", "ß")
GLUE = (" ", "  ", "\t", "\n", "-", ".", ", ", "'", "’", " (", ") ", "", "\u00a0")


@pytest.mark.parametrize(
    ("predicted", "true", "exact", "f1"),
    [
        ("308", ["308"], 1, 1),
        ("the Panthers", ["Panthers!"], 1, 1),
        ("Kawann Short", ["Short"], 0, 2 / 3),  # P = 1/2, R = 1.
        ("cat cat", ["cat dog cat cat"], 0, 2 / 3),  # Words as often as both have them.
        ("a b c", ["x", "b c d e", "c"], 0, 2 / 3),  # Of b c: P = 1, R = 1/2.
        ("a-b", ["ab"], 1, 1),  # Punctuation leaves no gap.
        ("theatre", ["atre"], 0, 0),  # Articles are whole words.
        ("", [], 1, 1),
        ("cat", [], 0, 0),
        ("", ["cat"], 0, 0),
        ("the", [], 1, 1),  # Nothing is left of it.
        ("", ["the"], 1, 1),
        ("cat", ["the", "cat"], 1, 1),
        ("", ["the", "cat"], 0, 0),  # Of the right ones, those without words go.
    ],
)
def test_scores_by_hand(predicted, true, exact, f1):
    assert metrics.exact_match(predicted, true) == exact
    assert metrics.token_f1(predicted, true) == pytest.approx(f1)


def words(text):
    """SQuAD's rules, character by character."""
    kept = "".join(
        c for c in text.lower() if c not in r"""!"#$%&'()*+,-./:;<=>?@[\]^_`{|}~"""
    )
    spaced, word = [], ""
    for char in [*kept, " "]:
        if char.isalnum() or char == "_":
            word += char
            continue
        spaced += [" " if word in ("a", "an", "the") else word, char]
        word = ""
    return "".join(spaced).split()


def f1_of(predicted, true):
    if not predicted or not true:
        return 1.0 if predicted == true else 0.0
    left, shared = list(true), 0
    for word in predicted:
        if word in left:
            left.remove(word)
            shared += 1
    if not shared:
        return 0.0
    precision, recall = shared / len(predicted), shared / len(true)
    return 2 * precision * recall / (precision + recall)


def test_the_rules_restated_say_the_same_of_thousands_of_answers():
    rng = random.Random(0)

    def drawn():
        size = rng.randrange(6)
        return "".join(rng.choice(PIECES) + rng.choice(GLUE) for _ in range(size))

    for _ in range(5000):
        predicted, true = drawn(), [drawn() for _ in range(rng.randrange(4))]
        right = [words(answer) for answer in true if words(answer)] or [[]]
        exact = float(
            " ".join(words(predicted)) in [" ".join(answer) for answer in right]
        )
        assert metrics.exact_match(predicted, true) == exact, (predicted, true)
        best = max(f1_of(words(predicted), answer) for answer in right)
        assert metrics.token_f1(predicted, true) == pytest.approx(best), (
            predicted,
            true,
        )
