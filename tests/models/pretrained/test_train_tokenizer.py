"""Tests for tokenizers trained on texts, and for detecting models by their files."""

import json

import pytest

from metaflax import models
from metaflax.models import pretrained
from metaflax.models.families._registry import family_of
from metaflax.models.pretrained._train_tokenizer import train_tokenizer

TEXTS = ("the cat sat on the mat", "die Katze saß auf der Matte", "Кіт сидів")


@pytest.mark.parametrize("family", ["gpt", "seq2seq"])
def test_any_text_comes_back_as_it_was(family, tmp_path):
    made = train_tokenizer(TEXTS, tmp_path / "words", vocab_size=280, family=family)
    loaded = pretrained.tokenizer(tmp_path / "words")
    assert len(made) == len(loaded) <= 280
    for text in (*TEXTS, " Leading  spaces\nand 数字 never seen\t"):
        ids = loaded(text, add_special_tokens=False).input_ids
        assert ids == made(text, add_special_tokens=False).input_ids
        assert loaded.decode(ids) == text
        around = ([1], [2]) if family == "seq2seq" else ([], [])
        assert loaded(text).input_ids == around[0] + ids + around[1]
    special = loaded.pad_token_id, loaded.bos_token_id, loaded.eos_token_id
    assert special == (0, 1, 2)


def test_frequent_pairs_become_words(tmp_path):
    made = train_tokenizer(["zebra"] * 9, tmp_path, vocab_size=263)
    assert len(made("zebra", add_special_tokens=False).input_ids) == 1


def test_a_bert_has_word_pieces_of_its_own(tmp_path):
    texts = [*TEXTS, *["Señor zebra"] * 9]
    made = train_tokenizer(texts, tmp_path / "words", vocab_size=100, family="bert")
    loaded = pretrained.tokenizer(tmp_path / "words")
    assert len(made) == len(loaded) <= 100
    pieces = loaded.convert_ids_to_tokens(loaded("Senor ZEBRA cat-mat").input_ids)
    assert pieces[:3] == ["[CLS]", "senor", "zebra"]
    assert "".join(pieces[3:]).replace("##", "") == "cat[UNK]mat[SEP]"
    pair = loaded("the cat", "the mat")
    first = len(loaded("the cat").input_ids)
    ones = len(pair.input_ids) - first
    assert pair.token_type_ids == [0] * first + [1] * ones
    special = ("pad", "unk", "cls", "sep", "mask")
    assert [getattr(loaded, f"{n}_token_id") for n in special] == [0, 1, 2, 3, 4]
    unused = loaded.convert_tokens_to_ids([f"[unused{n}]" for n in range(1, 9)])
    assert unused == list(range(5, 13))
    assert loaded("the cat", add_special_tokens=False).word_ids()[-1] == 1


def test_a_vocabulary_without_room_for_letters_is_refused(tmp_path):
    with pytest.raises(ValueError, match="15 has no room for [34] letters and 13"):
        train_tokenizer(["ab", "c"], tmp_path, vocab_size=15, family="bert")


def test_a_vocabulary_without_room_for_bytes_is_refused(tmp_path):
    with pytest.raises(ValueError, match="258 has no room for 256 bytes and 3"):
        train_tokenizer(TEXTS, tmp_path, vocab_size=258)
    with pytest.raises(ValueError, match="no texts to learn a tokenizer from"):
        train_tokenizer([], tmp_path, vocab_size=300)


@pytest.mark.parametrize(
    ("kind", "says"), [("gpt2", True), ("encoder-decoder", True), ("bert", False)]
)
def test_what_says_texts_is_told_by_its_type(kind, says, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    assert family_of(tmp_path).generative == says


def test_other_models_are_refused_as_language_models(tmp_path):
    with pytest.raises(ValueError, match=r"has no config\.json"):
        family_of(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "xlnet"}))
    with pytest.raises(
        ValueError, match="unknown model family 'xlnet'; known: bert, .*, gpt2"
    ):
        models.load(tmp_path)
