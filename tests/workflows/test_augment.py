"""Tests that words of texts are replaced by samples of a masked language model.

The model is random except for the bias of its output layer, which makes some words
much likelier than others in all texts.
"""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaflax import cli, models, workflows
from metaflax.data.raw_text._cloze import whole_words
from metaflax.models.families._registry import FAMILIES, load_masked_lm, save_masked_lm
from metaflax.workflows.data_preparation import _augment
from metaflax.workflows.data_preparation._word_filler import WordFiller
from tests.models.examples import random_params
from tests.workflows import worlds

pytestmark = pytest.mark.thorough

PIECES = ("un", "like", "##like", "##ly", "##s", "!", ",", "'", "[unused1]", "Topic00")
VOCABULARY = (*worlds.VOCABULARY, *PIECES)
WHOLE = {*worlds.TOPICS, *worlds.FILLER, "un", "like"}
FAVOURITES = worlds.FILLER[:4]
K = 3


@pytest.fixture(scope="module")
def masked_lm(tmp_path_factory):
    """A model with favourite words, a hundred times as likely as others."""
    folder = tmp_path_factory.mktemp("masked_lm")
    worlds.save_tokenizer(folder / "tokenizer", VOCABULARY)
    config = models.BertConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=worlds.POSITIONS,
    )
    encoder = random_params(config, pooler=False)
    head = FAMILIES["bert"].masked_lm.init_head(config, jax.random.key(0))
    bias = np.zeros(len(VOCABULARY), np.float32)
    for word in (*FAVOURITES, "##ly", "[SEP]", "!", "[unused1]"):
        bias[VOCABULARY.index(word)] = 8.0
    head = {**head, "bias": jnp.asarray(bias)}
    params = {"encoder": encoder, "head": head}
    save_masked_lm(
        folder / "model", config, params, tokenizer_from=folder / "tokenizer"
    )
    return folder / "model"


ROWS = [
    *({**row, "age": n} for n, row in enumerate(worlds.records(worlds.TOPICS[:3], 4))),
    {"text": "Unlikely, Topic01... filler00's FILLER01!", "label": "topic01"},
    {"text": "?!", "label": "topic01"},
    {"text": "topic00 [SEP] topic01", "label": "topic01"},
]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return worlds.write_jsonl(tmp_path_factory.mktemp("rows") / "rows.jsonl", ROWS)


def augment(source, model, out, **options):
    given = {"data": source, "model": model, "out": out, "variants": K, **options}
    worlds.run("augment", *worlds.arguments(given))
    return worlds.read_jsonl(out)


@pytest.fixture(scope="module")
def augmented(source, masked_lm, tmp_path_factory):
    out = tmp_path_factory.mktemp("augmented") / "deep" / "out.jsonl"
    rows = augment(source, masked_lm, out, share=0.3)
    assert [path.name for path in out.parent.iterdir()] == ["out.jsonl"]
    return rows, out.read_bytes()


def words(text):
    return [text[start:end] for start, end in whole_words(text)]


def between(text):
    """The parts of a text between its words."""
    ends = [place for span in whole_words(text) for place in span]
    return [text[a:b] for a, b in zip([0, *ends], [*ends, None], strict=True)][::2]


def test_every_row_stays_as_it_was_and_gets_as_many_variants_as_asked(augmented):
    rows, _ = augmented
    assert [{k: v for k, v in row.items() if k != "variants"} for row in rows] == ROWS
    *with_words, without, special = rows
    for row in with_words:
        assert len({row["text"], *row["variants"]}) == K + 1
    assert without["variants"] == special["variants"] == []


def test_a_share_of_whole_words_is_replaced_by_other_whole_words(augmented):
    for row in augmented[0][:-2]:
        before = words(row["text"])
        for variant in row["variants"]:
            after = words(variant)
            assert between(variant) == between(row["text"])
            assert len(after) == len(before)
            new = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
            assert len(new) == max(round(0.3 * len(before)), 1)
            assert {word for _, word in new} <= WHOLE
            assert all(a.lower() != b.lower() for a, b in new)


def test_the_same_arguments_write_the_same_file_however_it_is_chunked(
    augmented, source, masked_lm, tmp_path, monkeypatch
):
    monkeypatch.setattr(_augment, "CHUNK", 4)
    augment(source, masked_lm, tmp_path / "again.jsonl", share=0.3)
    assert (tmp_path / "again.jsonl").read_bytes() == augmented[1]
    other = augment(source, masked_lm, tmp_path / "other.jsonl", share=0.3, seed=1)
    assert [row["variants"] for row in other] != [r["variants"] for r in augmented[0]]


def test_what_is_drawn_is_what_the_model_holds_likely(source, masked_lm, tmp_path):
    rows = augment(source, masked_lm, tmp_path / "out.jsonl", share=1, top_k=3)
    found = {word for row in rows for text in row["variants"] for word in words(text)}
    assert found == set(FAVOURITES)  # The third likeliest where one was masked itself.
    [row] = [row for row in rows if "FILLER01" in row["text"]]
    assert all(words(text)[-1] != "filler01" for text in row["variants"])


def test_a_low_temperature_draws_the_likeliest_word(masked_lm):
    texts = [row["text"] for row in ROWS[:4]]
    cold = workflows.Replacing(variants=1, temperature=1e-3, top_k=9)
    likeliest = workflows.Replacing(variants=1, top_k=1)
    filler = WordFiller(masked_lm, cold.most_masks, 48)
    assert _augment.variants_of(texts, filler, cold) == _augment.variants_of(
        texts, filler, likeliest
    )


def test_words_are_offered_in_the_order_of_the_model_s_logits(masked_lm):
    """In a batch of texts of other lengths, as for each text by itself."""
    filler = WordFiller(masked_lm, lambda length: 3, 48)
    texts = ["[MASK] filler00 [MASK]", "un, [MASK]!" + " filler01" * 20, "topic00"]
    found = filler.offers(texts, 5)
    assert [len(offer.numbers) for offer in found] == [2, 1, 0]
    assert set(filler.words) == WHOLE
    loaded = load_masked_lm(masked_lm)
    for text, offer in zip(texts, found, strict=True):
        ids = np.array(filler.tokenizer(text)["input_ids"])
        marks = np.flatnonzero(ids == filler.tokenizer.mask_token_id)
        tokens = models.Tokens(
            ids[None], None, np.ones_like(ids)[None], marks=marks[None]
        )
        if not len(marks):
            continue
        model = loaded.family.masked_lm.network(loaded.config)
        logits = model.apply(loaded.params, tokens, None)[0]
        allowed = [VOCABULARY.index(word) for word in filler.words]
        expected = -np.sort(-np.asarray(logits)[:, allowed], axis=1)[:, :5]
        np.testing.assert_allclose(offer.logits, expected, rtol=1e-4, atol=1e-4)


def test_words_beyond_what_the_model_reads_stay(source, masked_lm, tmp_path):
    long = " ".join(["filler00"] * 5 + ["unlikely"] * 100)
    file = worlds.write_jsonl(tmp_path / "long.jsonl", [{"text": long, "label": "a"}])
    [row] = augment(file, masked_lm, tmp_path / "out.jsonl", share=1, max_length=10)
    for variant in row["variants"]:
        assert variant.split()[8:] == long.split()[8:]
        assert "filler00" not in variant.split()[:5]


def test_a_text_with_few_words_to_draw_has_fewer_variants(masked_lm, tmp_path):
    file = worlds.write_jsonl(tmp_path / "in.jsonl", [{"text": "like", "label": "a"}])
    [row] = augment(file, masked_lm, tmp_path / "out.jsonl", variants=9, top_k=2)
    assert len(row["variants"]) == 2
    assert len(set(row["variants"])) == 2


def test_a_pass_that_stops_halfway_leaves_nothing(
    source, masked_lm, tmp_path, monkeypatch
):
    monkeypatch.setattr(_augment, "CHUNK", 4)
    whole = _augment.variants_of

    def stops(texts, filler, replacing, first=0):
        if first:
            raise KeyboardInterrupt
        return whole(texts, filler, replacing, first)

    monkeypatch.setattr(_augment, "variants_of", stops)
    options = {"data": source, "model": masked_lm, "out": tmp_path / "out.jsonl"}
    assert cli.main(["augment", *worlds.arguments(options)]) == 130
    assert not list(tmp_path.iterdir())


def refused(capsys, **options):
    assert cli.main(["augment", *worlds.arguments(options)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("metaflax: ")
    assert error.count("\n") == 1
    assert not options["out"].exists()
    return error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"text": "txet"},
            r"rows.jsonl:1: no column 'txet'; .* Name the right one with --text",
        ),
        ({"share": 0}, r"share is 0.0; give above 0 to 1"),
        ({"share": 1.1}, r"share is 1.1; give above 0 to 1"),
        ({"variants": 0}, r"variants is 0; give 1 or more"),
        ({"top_k": 0}, r"top_k is 0; give 1 or more"),
        ({"temperature": 0}, r"temperature is 0.0; give above 0"),
        ({"max_length": 2}, r"max_length is 2; give 3 or more"),
        ({"seed": -1}, r"seed is -1; give 0 or more"),
        ({"data": "nowhere.jsonl"}, r"nowhere.jsonl: no such file"),
    ],
)
def test_what_makes_no_variants_is_refused_before_a_model_is_read(
    options, message, source, tmp_path, capsys
):
    given = {"data": source, "model": "none", "out": tmp_path / "out.jsonl", **options}
    assert re.search(message, refused(capsys, **given))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text_pair": "b"}, r"in.jsonl:1: has a column 'text_pair'"),
        ({"head": [0, 1], "tail": [2, 3]}, r"has a column 'head'"),
        ({"target": "b"}, r"has a column 'target'"),
        ({"label": [{"start": 0, "end": 1, "type": "a"}]}, r"has spans as label"),
        ({"variants": []}, r"has a column 'variants' already"),
    ],
)
def test_a_text_that_does_not_stand_alone_is_refused(row, message, tmp_path, capsys):
    file = worlds.write_jsonl(
        tmp_path / "in.jsonl", [{"text": "a", "label": "l", **row}]
    )
    error = refused(capsys, data=file, model="none", out=tmp_path / "out.jsonl")
    assert re.search(message, error)


def test_a_text_may_stand_in_a_column_that_elsewhere_means_another(masked_lm, tmp_path):
    file = worlds.write_jsonl(tmp_path / "in.jsonl", [{"target": "filler00 like"}])
    [row] = augment(file, masked_lm, tmp_path / "out.jsonl", text="target")
    assert len(row["variants"]) == K


def test_texts_without_words_are_refused(masked_lm, tmp_path, capsys):
    file = worlds.write_jsonl(tmp_path / "in.jsonl", [{"text": "?!", "label": "a"}])
    error = refused(capsys, data=file, model=masked_lm, out=tmp_path / "out.jsonl")
    assert "no text of column 'text' has a word to replace" in error


def test_a_model_without_an_output_layer_is_refused_with_the_way_to_one(
    source, tiny_bert, tmp_path, capsys
):
    error = refused(capsys, data=source, model=tiny_bert, out=tmp_path / "out.jsonl")
    assert "has no output layer for masked words" in error
    assert f"metaflax pretrain --model {tiny_bert} --text FILE --run-dir DIR" in error


def test_a_file_that_exists_and_one_that_is_not_jsonl_are_not_written(
    source, tmp_path, capsys
):
    taken = tmp_path / "taken.jsonl"
    taken.write_text("mine\n")
    for out, said in ((taken, "exists already"), (tmp_path / "out.csv", ".jsonl.")):
        options = {"data": source, "model": "none", "out": out}
        assert cli.main(["augment", *worlds.arguments(options)]) == 2
        assert said in capsys.readouterr().err
    assert taken.read_text() == "mine\n"


def test_the_number_of_variants_and_texts_is_printed(
    source, masked_lm, tmp_path, capsys
):
    rows = augment(source, masked_lm, tmp_path / "out.jsonl")
    count = sum(len(row["variants"]) for row in rows)
    said = capsys.readouterr().out
    assert f"{count} variants of {len(ROWS)} texts; 2 texts have none:" in said
    assert json.loads((tmp_path / "out.jsonl").read_text().splitlines()[0]) == rows[0]
