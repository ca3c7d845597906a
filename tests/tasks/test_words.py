"""Tests for splitting texts to words, and for aligning tokens with words."""

import functools

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from metaflax import tasks
from metaflax.tasks._entity_spans import entities_of_runs
from metaflax.tasks._words import word_spans, words_of_tokens
from tests.tasks.texts import PARTS, TEXTS, TYPES, entities_in


def words_in(text):
    return [text[start:end] for start, end in word_spans(text)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        (" \t\x1c\n", []),
        ("don't stop_me, now", ["don", "'", "t", "stop", "_", "me", ",", "now"]),
        ("Zürich e\u0301te\u0301", ["Zürich", "e\u0301te\u0301"]),
        ("\u0301a b\u0301", ["\u0301", "a", "b\u0301"]),
        ("я, 北京\u3000とう", ["я", ",", "北", "京", "と", "う"]),
        ("한국어 हिन्दी", ["한국어", "हिन्दी"]),
        ("می\u200cخواهم", ["می\u200cخواهم"]),
        ("ok❤\ufe0f1\ufe0f\u20e3", ["ok", "❤\ufe0f", "1\ufe0f\u20e3"]),
        ("a\u200bb", ["a", "\u200b", "b"]),
    ],
)
def test_words_are_those_that_a_reader_sees(text, words):
    assert words_in(text) == words


@given(TEXTS)
@settings(max_examples=300, deadline=None)
def test_words_rise_are_apart_and_leave_out_nothing_but_white_space(text):
    spans = word_spans(text)
    edges = [0, *(edge for span in spans for edge in span), len(text)]
    assert edges == sorted(edges)
    assert all(start < end for start, end in spans)
    assert "".join(words_in(text)) == "".join(text.split())


@given(st.text(st.characters(max_codepoint=127)))
@settings(max_examples=200, deadline=None)
def test_plain_text_has_the_words_that_it_has_beside_other_text(text):
    assert word_spans(text + " \u00e9")[:-1] == word_spans(text)


@given(st.lists(TEXTS, max_size=6))
@settings(max_examples=200, deadline=None)
def test_words_of_a_file_joined_by_spaces_are_made_of_whole_words(given_words):
    joined = word_spans(" ".join(given_words))
    alone, offset = [], 0
    for word in given_words:
        alone += [(offset + s, offset + e) for s, e in word_spans(word)]
        offset += len(word) + 1
    assert list(joined) == alone


@functools.cache
def tokenizer(kind):
    letters = sorted({char for part in PARTS for char in part if not char.isspace()})
    if kind == "bert":
        names = ["[UNK]", *letters, *(f"##{char}" for char in letters[::2])]
        vocab = {name: number for number, name in enumerate(names)}
        made = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocab))
        made.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
        made.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
        return made
    # Byte-level pieces, several of which form a character.
    names = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    vocab = {name: number for number, name in enumerate(sorted(names))}
    made = tokenizers.Tokenizer(tokenizers.models.BPE(vocab, []))
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    return made


def spans_of_tokens(kind, text):
    """Character spans of the tokens of a row `[CLS] text [SEP]`."""
    offsets = tokenizer(kind).encode(text).offsets
    return np.array([(-1, -1), *offsets, (-1, -1)])


@pytest.mark.parametrize("scheme", ["IO", "BIO"])
@pytest.mark.parametrize("kind", ["bert", "bytes"])
@given(st.data())
@settings(max_examples=150, deadline=None)
def test_entities_survive_the_way_to_word_pieces_and_back(kind, scheme, drawn):
    tagging = getattr(tasks, scheme)
    text = drawn.draw(TEXTS)
    spans = spans_of_tokens(kind, text)
    spans = spans[: drawn.draw(st.integers(1, len(spans)))]  # Cut at its end.
    words, tokens = words_of_tokens(word_spans(text), spans)
    entities = drawn.draw(entities_in(words))

    num = len(TYPES)
    runs = tasks.runs_of_entities(entities, words, TYPES)
    targets = np.full(len(spans), -1)
    targets[tokens] = tagging.encode(runs, len(words), num)
    found = tagging.decode(targets[tokens], num)
    back = entities_of_runs(found, words, TYPES)
    if scheme == "BIO":
        assert back == entities
    else:
        assert back == merged(entities, words)


def merged(entities, words):
    """Merges adjacent entities of one type."""
    starts = [start for start, _ in words]
    result = []
    for entity in entities:
        touches = result and result[-1].type == entity.type
        if touches and not any(result[-1].end <= s < entity.start for s in starts):
            result[-1] = result[-1]._replace(end=entity.end)
        else:
            result.append(entity)
    return tuple(result)


@pytest.mark.parametrize("kind", ["bert", "bytes"])
@given(TEXTS)
@settings(max_examples=200, deadline=None)
def test_each_word_that_tokens_tell_apart_has_a_first_token_of_its_own(kind, text):
    spans, all_words = spans_of_tokens(kind, text), word_spans(text)
    words, tokens = words_of_tokens(all_words, spans)
    assert sorted(set(tokens.tolist())) == tokens.tolist()
    for (start, end), token in zip(words, tokens, strict=True):
        reaching = [
            number
            for number, (begin, stop) in enumerate(spans.tolist())
            if begin < end and stop > start and stop > begin
        ]
        assert reaching[0] == token
    # Words without a first token have no token, or are part of a word with one.
    for start, end in all_words:
        inside = any(s <= start and end <= e for s, e in words)
        touched = any(b < end and e > start for b, e in spans.tolist() if e > b)
        assert inside == touched


def test_every_word_of_plain_text_has_a_token():
    text = "aZq7a . a-a 東京"
    words, tokens = words_of_tokens(word_spans(text), spans_of_tokens("bert", text))
    assert words == word_spans(text)
    assert tokens.tolist()[0] == 1
