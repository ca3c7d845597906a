"""Tests for sentences with entities: reading, writing and encoding."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metaflax import data, tasks
from metaflax.data.batching._token_codes import token_codes
from metaflax.tasks._base import GoldLabel
from metaflax.tasks._entity_spans import Entity
from metaflax.tasks._sentences import SENTENCE, Sentence
from metaflax.tasks._words import word_spans
from tests.tasks import texts, words

TOKENIZER = words.tokenizer("abcdefgh")


def fields(**row):
    return tasks.Fields(row, "r.jsonl:4", {"label": "tags"})


def gold_label(**row):
    return tasks.entities().gold_label(fields(**row))


def test_words_of_a_row_are_joined_by_spaces():
    read = SENTENCE.read(fields(tokens=["In", "São", "Paulo"]))
    assert read == Sentence("In São Paulo", ((0, 2), (3, 6), (7, 12)))


def test_tags_and_spans_say_the_same():
    entity = Entity(3, 12, "city")
    by_tags = gold_label(tokens=["In", "São", "Paulo"], tags=["O", "B-city", "I-city"])
    span = {"start": 3, "end": 12, "text": "São Paulo"}
    by_spans = [
        gold_label(text="In São Paulo", tags=[{**span, name: "city"}])
        for name in ("type", "label", "slot")
    ]
    assert by_tags == GoldLabel(("city",), (entity,))
    assert by_spans == [by_tags] * 3


def test_an_entity_within_a_word_takes_the_whole_word():
    found = gold_label(
        text="Zurichs See", tags=[{"start": 0, "end": 6, "type": "city"}]
    )
    assert found.target == (Entity(0, 7, "city"),)
    [remark] = found.remarks
    assert remark == (
        "entities are widened to whole words, as which they are scored",
        "'Zurich' becomes 'Zurichs'",
    )
    spaces = gold_label(text="a b", tags=[{"start": 0, "end": 2, "type": "x"}])
    [remark] = spaces.remarks
    assert remark.what == "entities lose white space at their ends"
    whole = gold_label(text="a b", tags=[{"start": 0, "end": 1, "type": "x"}])
    assert whole.remarks == ()


BIO = ["B-x", "I-x", "O", "B-x", "B-y", "I-y"]


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [
        (["I-x", "I-x", "O", "I-x", "I-y", "I-y"], "IOB1"),
        (["B-x", "E-x", "O", "S-x", "B-y", "E-y"], "BIOES"),
        (["B-x", "L-x", "O", "U-x", "B-y", "L-y"], "BILOU"),
        (["x", "x", "O", "x", "y", "y"], "bare types"),
    ],
)
def test_tags_of_every_scheme_mean_the_same_and_say_so(tags, scheme):
    tokens = list("abcdef")
    expected = gold_label(tokens=tokens, tags=BIO)
    assert expected.remarks == ()
    found = gold_label(tokens=tokens, tags=tags)
    assert found[:2] == expected[:2]
    [remark] = found.remarks
    assert remark.what == f"rows have tags in {scheme}, read as BIO"


def test_neighbours_of_one_type_stay_apart_where_the_scheme_marks_them():
    tokens = list("abc")
    apart = gold_label(tokens=tokens, tags=["B-x", "B-x", "I-x"]).target
    assert [entity.start for entity in apart] == [0, 2]
    for tags in (["I-x", "B-x", "I-x"], ["S-x", "B-x", "E-x"], ["U-x", "B-x", "L-x"]):
        assert gold_label(tokens=tokens, tags=tags).target == apart


def test_lists_of_spacy_and_gliner_are_entities():
    expected = (Entity(3, 12, "city"),)
    spacy = {"text": "In São Paulo", "entities": [[3, 12, "city"]]}
    gliner = {"tokenized_text": ["In", "São", "Paulo"], "ner": [[1, 2, "city"]]}
    for row, column, whose in ((spacy, "entities", "spaCy"), (gliner, "ner", "GLiNER")):
        found = tasks.entities().gold_label(tasks.Fields(row, "r.jsonl:1"))
        assert found[:2] == (("city",), expected)
        usual, converted = (remark.what for remark in found.remarks)
        assert usual == f"rows have their labels in {column!r}, without 'label'"
        assert whose in converted
        assert SENTENCE.read(tasks.Fields(row, "r.jsonl:1")).text == "In São Paulo"


def test_a_sentence_may_hold_no_entity():
    assert gold_label(tokens=["a"], tags=["O"]) == GoldLabel((), ())
    assert gold_label(text="a", tags=[]) == GoldLabel((), ())


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_sentences_and_entities_of_any_text_are_written_as_they_were_read(drawn):
    text = drawn.draw(texts.TEXTS.filter(str.strip))
    spans = word_spans(text)
    entities = drawn.draw(texts.entities_in(spans))
    level = tasks.entities().tokens
    for sentence in (
        Sentence(text, spans),
        SENTENCE.read(fields(tokens=[text[a:b] for a, b in spans])),
    ):
        row = SENTENCE.row(sentence)
        assert SENTENCE.read(fields(**row)) == sentence
    written = level.rows(entities)["label"]
    assert gold_label(text=text, tags=written).target == tuple(sorted(entities))


def test_every_token_knows_its_characters_and_special_ones_have_none():
    sentences = [SENTENCE.read(fields(text=t)) for t in ("a bb c", "b")]
    encoded = SENTENCE.encode(TOKENIZER, sentences, None)
    none = (-1, -1)
    spans = [list(map(tuple, row)) for row in encoded["spans"]]
    assert spans == [[none, (0, 1), (2, 4), (5, 6), none], [none, (0, 1), none]]


def test_what_is_cut_off_is_counted():
    sentence = SENTENCE.read(fields(text="a b c d e"))
    target = (Entity(2, 3, "x"), Entity(6, 9, "x"))
    level = tasks.entities().tokens
    tokenized = data.tokenize(
        TOKENIZER, [sentence], max_length=6, form=SENTENCE, on_long="truncate"
    )
    codes = token_codes(level, [sentence], [target], tokenized, ["x"])
    # The second entity loses its last word; the rest is still a target.
    assert (codes.num_lost, codes.flat.tolist()) == (1, [-1, 1, 0, 1, 0, -1])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"tokens": ["a", "b"], "tags": ["O"]}, "2 words and 1 tags"),
        ({"tokens": ["a", "b"], "tags": ["B-x", "y"]}, "tags are 'O', 'B-type' and"),
        ({"tokens": ["a", "b"], "tags": ["L-x", "E-x"]}, "tags are 'O', 'B-type' and"),
        ({"tokens": ["a"], "tags": ["B"]}, "tags are 'O', 'B-type' and 'I-type'"),
        ({"tokens": ["a"], "tags": [[0, 0, "x"]]}, "may count words or characters"),
        ({"tokenized_text": ["a"], "tags": [[0, 1, "x"]]}, "outside of 1 words"),
        ({"text": "a b", "tags": [[2, 4, "x"]]}, "outside of a text of length 3"),
        ({"tokens": ["a"], "tags": ["B-"]}, "names no type"),
        ({"tokens": ["a", ""], "tags": ["O", "O"]}, "words have no space around"),
        ({"tokens": "a b", "tags": ["O"]}, "is to be a list of words"),
        ({"tokens": [], "tags": []}, "'tokens' is an empty text"),
        ({"text": "a b", "tags": ["O", "O"]}, "no column 'tokens'"),
        ({"text": "a b", "tags": "O O"}, "a list of tags or of entities"),
        ({"text": "a b", "tags": [3]}, "numbers of tags need their names"),
        ({"text": "a b", "tags": [{"start": 0, "end": 1}]}, "has no type"),
        ({"text": "a b", "tags": [{"type": "x"}]}, "no whole numbers start and end"),
        (
            {"text": "a b", "tags": [{"start": 2, "end": 4, "type": "x"}]},
            "outside of a text of length 3",
        ),
        (
            {"text": "a b", "tags": [{"start": 1, "end": 2, "type": "x"}]},
            "holds no word",
        ),
        (
            {"text": "a b", "tags": [{"start": 0, "end": 1, "type": "x", "text": "b"}]},
            "has the text 'b', and the row has 'a' there",
        ),
        (
            {
                "text": "a b",
                "tags": [
                    {"start": 0, "end": 3, "type": "x"},
                    {"start": 2, "end": 3, "type": "y"},
                ],
            },
            "overlap",
        ),
    ],
)
def test_a_wrong_row_is_named_by_place_and_column(row, message):
    with pytest.raises(ValueError, match=r"^r\.jsonl:4: '(tags|tokens)' ") as error:
        gold_label(**row)
    assert message in str(error.value)


def test_codes_of_an_episode_are_those_of_its_types():
    level = tasks.entities(tagging="bio").tokens
    sentence = SENTENCE.read(fields(text="a b c d"))
    target = (Entity(0, 3, "y"), Entity(6, 7, "x"))
    spans = np.array([(-1, -1), (0, 1), (2, 3), (4, 5), (6, 7), (-1, -1)])
    codes = level.place(sentence, target, spans, ["x", "y"])
    assert codes.tolist() == [-1, 2, 3, 4, 0, -1]
    assert level.local(codes, (1, 0), 2).tolist() == [-1, 0, 1, 4, 2, -1]
    # Types that were not drawn and padding types have no targets.
    assert level.local(codes, (1,), 3).tolist() == [-1, 0, 1, 6, 6, -1]
