"""Tests for pairs: reading, and encoding as two segments."""

import itertools

import pytest

from metaflax import data, tasks
from metaflax.tasks._pairs import Pair
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


@pytest.mark.parametrize("kind", ["pair_classification", "regression"])
@pytest.mark.parametrize(
    ("encoding", "expected", "marks"),
    [
        ("two_towers", "[CLS] a b [SEP] [CLS] c [SEP]", [0, 4]),
        (
            "both",
            "[CLS] a b [SEP] c [SEP] [CLS] a b [SEP] [CLS] c [SEP]",
            [0, 6, 10],
        ),
        ("phrase", "[CLS] a b [SEP] [CLS] c [SEP]", [0, 4, 1, 3]),
    ],
)
def test_other_encodings_hold_each_text_apart(kind, encoding, expected, marks):
    form = getattr(tasks, kind)().form.encoded_as(encoding)
    tokens = data.tokenize(TOKENIZER, [Pair("a b", "c")], max_length=8, form=form)
    assert words.as_text(TOKENIZER, tokens[0]) == expected
    assert tokens.marks.tolist() == [marks]
    assert form.row(Pair("a b", "c")) == {"text": "a b", "text_pair": "c"}


@pytest.mark.parametrize("encoding", ["two_towers", "both", "phrase"])
@pytest.mark.parametrize("first", range(1, 9))
@pytest.mark.parametrize("second", [1, 4, 8])
@pytest.mark.parametrize("max_length", [8, 9])
def test_no_sequence_is_longer_than_the_model_takes(
    encoding, first, second, max_length
):
    letters = "abcdefgh"
    pair = Pair(" ".join(letters[:first]), " ".join(letters[:second]))
    tokens = data.tokenize(
        TOKENIZER,
        [pair],
        max_length=max_length,
        form=tasks.PAIR.encoded_as(encoding),
        on_long="truncate",
    )
    row = words.as_text(TOKENIZER, tokens[0]).split(" ")
    num_parts = {"two_towers": 2, "both": 3, "phrase": 2}[encoding]
    starts = [*tokens.marks[0, :num_parts].tolist(), len(row)]
    parts = [row[a:b] for a, b in itertools.pairwise(starts)]
    assert len(parts) == num_parts
    assert all(part[0] == "[CLS]" and part[-1] == "[SEP]" for part in parts)
    assert sum(map(len, parts[-2:])) <= max_length
    assert max(map(len, parts)) <= max_length
    # Half of a row, as `of_parts` requires.
    assert num_parts == 2 or max(map(len, parts)) <= -(-len(row) // 2)
    whole = first + second + 4 <= max_length
    assert (tokens.num_truncated == 0) == whole


@pytest.mark.parametrize("start", range(8))
@pytest.mark.parametrize("length", [1, 3])
@pytest.mark.parametrize("max_length", [8, 9, 30])
def test_a_phrase_is_marked_where_it_occurs_however_much_is_cut(
    start, length, max_length
):
    letters = "abcdefgh"
    phrase = " ".join(letters[start : start + length])
    tokens = data.tokenize(
        TOKENIZER,
        [Pair(" ".join(letters), phrase.upper())],
        max_length=max_length,
        form=tasks.PAIR.encoded_as("phrase"),
        on_long="truncate",
    )
    row = words.as_text(TOKENIZER, tokens[0]).split(" ")
    first, second, begin, end = tokens.marks[0].tolist()
    room = max_length - 2 - len(row[second:])
    assert row[begin:end] == phrase.split(" ")[:room]
    assert first == 0
    assert begin >= 1
    assert end < second
    assert row[second - 1] == "[SEP]"
    assert len(row) <= max_length
    assert len(row) == max_length or tokens.num_truncated == 0


@pytest.mark.parametrize(
    ("text", "phrase", "marked"),
    [
        ("ab b", "b", [2, 3]),
        ("ab B c", "b", [2, 3]),  # A whole word, in another case.
        ("ab b ab", "b ab", [2, 5]),
        ("c ab", "b", [2, 3]),  # Only within a word.
        ("ab, c", ", c", [2, 4]),
        ("İ B", "b", [1, 2]),  # Its lower case is two characters.
    ],
)
def test_a_phrase_is_marked_as_whole_words_where_it_occurs_so(text, phrase, marked):
    form = tasks.PAIR.encoded_as("phrase")
    pairs = [Pair(text, phrase)]
    tokens = data.tokenize(words.bert("abci,"), pairs, max_length=16, form=form)
    [[*_, begin, end]] = tokens.marks.tolist()
    assert [begin - 1, end - 1] == marked  # Without [CLS].


def test_a_phrase_that_does_not_occur_is_the_whole_text():
    form = tasks.PAIR.encoded_as("phrase")
    tokens = data.tokenize(TOKENIZER, [Pair("a b", "h")], max_length=9, form=form)
    assert tokens.marks.tolist() == [[0, 4, 1, 3]]


def test_single_texts_have_no_pair_encoding():
    assert tasks.TEXT.encoded_as("one_sequence") is tasks.TEXT
    with pytest.raises(ValueError, match=r"pair_encoding is 'two_towers', .*'text'"):
        tasks.TEXT.encoded_as("two_towers")


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
