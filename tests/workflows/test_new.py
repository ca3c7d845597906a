"""Tests of new models to meta-train from scratch."""

import jax
import numpy as np
import pytest

from metaflax import models, workflows
from metaflax.models.families._registry import FAMILIES, load_masked_lm
from tests.workflows import worlds

SIZES = {"vocab_size": 300, "width": 16, "layers": 2, "heads": 2, "positions": 24}
TEXTS = ("filler00 filler01", "topic00")


def shapes(tree):
    return jax.tree.map(np.shape, tree)


@pytest.mark.parametrize("family", ["gpt", "llama", "seq2seq", "t5"])
def test_a_new_model_has_the_sizes_that_are_asked_for(family, tmp_path):
    made = workflows.new_language_model(
        tmp_path / "one", TEXTS, family=family, seed=3, **SIZES
    )
    loaded = models.load(made)
    network = getattr(loaded.config, "decoder", loaded.config)
    expected = loaded.family.language_model(loaded.config).init(jax.random.key(3))
    assert network.vocab_size == len(models.pretrained.tokenizer(made)) <= 300
    assert shapes(loaded.params) == shapes(expected)
    jax.tree.map(np.testing.assert_array_equal, loaded.params, expected)


def test_a_new_bert_is_one_to_pretrain_and_to_encode_with(tmp_path):
    made = workflows.new_language_model(
        tmp_path / "one", TEXTS, family="bert", seed=3, **SIZES
    )
    loaded = load_masked_lm(made)
    expected = FAMILIES["bert"].masked_lm.network(loaded.config).init(jax.random.key(3))
    jax.tree.map(np.testing.assert_array_equal, loaded.params, expected)
    assert loaded.config.vocab_size == len(models.pretrained.tokenizer(made))
    encoder = models.load(made).params
    kept = {name: expected["encoder"][name] for name in encoder}
    jax.tree.map(np.testing.assert_array_equal, encoder, kept)


def test_a_family_that_cannot_be_new_names_those_that_can(tmp_path):
    with pytest.raises(ValueError, match="'mpnet' cannot be made new; name bert.*t5"):
        workflows.new_language_model(tmp_path / "one", TEXTS, family="mpnet", **SIZES)


def test_sizes_that_make_no_network_leave_nothing_behind(tmp_path):
    with pytest.raises(ValueError, match="n_head=3 does not divide n_embd=16"):
        workflows.new_language_model(
            tmp_path / "one", TEXTS, family="gpt", **(SIZES | {"heads": 3})
        )
    assert not (tmp_path / "one").exists()


def test_an_encoder_reads_for_a_new_decoder(tiny_bert, tmp_path):
    made = workflows.language_model_from_encoder(tmp_path / "both", tiny_bert, layers=3)
    loaded = models.load(made)
    encoder = models.load(tiny_bert)
    read = {k: v for k, v in encoder.params.items() if k != "pooler"}
    jax.tree.map(np.testing.assert_array_equal, loaded.params["encoder"], read)
    said = loaded.params["decoder"]
    assert {"layer_0", "layer_1", "layer_2"} <= set(said)
    word = said["embeddings"]["word"]
    np.testing.assert_array_equal(word, read["embeddings"]["word"])
    vocabulary = worlds.VOCABULARY
    begins, ends = loaded.config.decoder_start_token_id, loaded.config.eos_token_id
    assert (vocabulary[begins], vocabulary[ends]) == ("[CLS]", "[SEP]")


def test_texts_of_a_file_are_those_of_its_columns(tmp_path):
    rows = [
        {"text": ["one", "two"], "target": "three"},
        {"text": "four", "target": "5"},
    ]
    file = worlds.write_jsonl(tmp_path / "rows.jsonl", rows)
    found = list(workflows.texts_of_file(file, ("text", "target")))
    assert found == ["one", "two", "four", "three", "5"]
