"""Tests for swapping words."""

import json

import pytest

from metaflax.data.raw_text._swaps import SWAPS, read_swaps, swap_words


@pytest.mark.parametrize(
    ("text", "swapped"),
    [
        ("he gave his book", "she gave her book"),
        ("SHE, he and He.", "HE, she and She."),
        ("the theme there", "the theme there"),  # Within words nothing is found.
        ("I am a man", "I am a woman"),
        ("Mr Smith", "Mrs Smith"),
        ("mr Smith", "mr Smith"),  # Names are found as they are.
        ("herself, himself!", "himself, herself!"),
    ],
)
def test_words_are_swapped_both_ways_in_the_case_they_had(text, swapped):
    assert swap_words(text, SWAPS["gender"]) == swapped


def test_swapping_twice_gives_the_text_again():
    text = "His sister and her brother said that men and a girl saw Mrs Jones."
    once = swap_words(text, SWAPS["gender"])
    assert once != text
    assert swap_words(once, SWAPS["gender"]) == text


def test_no_word_of_the_list_is_in_two_pairs():
    for pairs in SWAPS.values():
        words = [word for pair in pairs for word in pair]
        assert len(words) == len(set(words))


@pytest.mark.parametrize(
    "content", ["[]", "{}", '{"a": []}', '{"a": [["he"]]}', '{"a": [["he", "he"]]}']
)
def test_files_of_anything_else_are_refused_with_the_form(content, tmp_path):
    path = tmp_path / "swaps.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"groups of pairs of words, as .*he"):
        read_swaps(path)
    path.write_text("{")
    with pytest.raises(ValueError, match="holds no JSON"):
        read_swaps(path)
    with pytest.raises(ValueError, match="No such file"):
        read_swaps(tmp_path / "none.json")


def test_swaps_are_read_as_they_were_written(tmp_path):
    path = tmp_path / "swaps.json"
    path.write_text(json.dumps(SWAPS))
    assert read_swaps(path) == SWAPS
