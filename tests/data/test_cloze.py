"""Tests for masking words of texts (cloze)."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from metaflax.data.raw_text._cloze import draw_cloze, whole_words


def words(text):
    return [text[start:end] for start, end in whole_words(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What's my well-known PIN?", ["What's", "my", "well-known", "PIN"]),
        ("a - b -c d' 'e'", ["a", "b", "c", "d", "e"]),
        ("l’Élise d’été, 24-7", ["l’Élise", "d’été", "24-7"]),
        ("a-b-c_d", ["a-b-c", "d"]),
        ("?! ...", []),
    ],
)
def test_what_apostrophes_and_hyphens_join_is_one_word(text, expected):
    assert words(text) == expected


@hypothesis.given(st.text(alphabet="ab'- .é", max_size=30), st.floats(0.01, 1))
@hypothesis.settings(max_examples=100, deadline=None)
def test_a_share_of_the_words_is_taken_out_and_nothing_else(text, share):
    cloze = draw_cloze(text, np.random.default_rng(0), share)
    all_words = whole_words(text)
    assert set(cloze.places) <= set(all_words)
    expected = max(round(share * len(all_words)), 1) if all_words else 0
    assert len(cloze.places) == len(set(cloze.places)) == expected
    assert cloze.filled(cloze.words) == text
    shown = cloze.filled(["_"] * len(cloze.places))
    assert len(text) - len(shown) == sum(len(w) - 1 for w in cloze.words)


def test_every_word_that_may_be_taken_is():
    rng = np.random.default_rng(0)
    drawn = {draw_cloze("a b c d e", rng, 0.2, most=3).words for _ in range(40)}
    assert drawn == {("a",), ("b",), ("c",)}
