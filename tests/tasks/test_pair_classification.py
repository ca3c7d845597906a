"""Tests for pairs: how they are read, and how they become two segments."""

import pytest

from metaflax import data, tasks
from metaflax.tasks._pair_classification import Pair
from tests.tasks import words

TOKENIZER = words.tokenizer("abcdefgh")


def tokenized(pairs, max_length):
    return data.tokenize(
        TOKENIZER,
        [Pair(*pair) for pair in pairs],
        max_length=max_length,
        form=tasks.PAIR,
        on_long="truncate",
    )


def test_a_pair_is_two_segments():
    tokens = tokenized([("a b", "c"), ("d", "e f g")], 16)
    assert words.as_text(TOKENIZER, tokens[0]) == "[CLS] a b [SEP] c [SEP]"
    assert words.as_text(TOKENIZER, tokens[1]) == "[CLS] d [SEP] e f g [SEP]"
    assert tokens.types.tolist() == [0, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1, 1, 1]
    assert tokens.num_truncated == 0


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        (("a b c d e f", "g"), "[CLS] a b c [SEP] g [SEP]"),
        (("a", "b c d e f g"), "[CLS] a [SEP] b c d [SEP]"),
        (("a b c", "d e f"), "[CLS] a b [SEP] d e [SEP]"),
    ],
)
def test_the_longer_text_is_cut_first_and_counted(pair, expected):
    tokens = tokenized([pair, ("a", "b")], 7)
    assert words.as_text(TOKENIZER, tokens[0]) == expected
    assert tokens.num_truncated == 1


def test_a_row_is_read_and_written_back():
    fields = tasks.Fields(
        {"question": "why", "text_pair": "so"}, "", {"text": "question"}
    )
    pair = tasks.PAIR.read(fields)
    assert pair == ("why", "so")
    assert tasks.PAIR.row(pair) == {"text": "why", "text_pair": "so"}


@pytest.mark.parametrize("second", ["", " ", None, 3])
def test_a_second_text_that_is_none_is_named_with_its_place(second):
    fields = tasks.Fields({"text": "why", "text_pair": second}, "pairs.csv:3")
    with pytest.raises(ValueError, match=r"pairs\.csv:3: 'text_pair'"):
        tasks.PAIR.read(fields)


def test_pairs_are_classified_as_texts_are():
    pairs, texts = tasks.pair_classification(), tasks.classification()
    assert (pairs.kind, set(pairs.metrics)) == (texts.kind, set(texts.metrics))
