"""Tests for configurations of GPT-2."""

import re

import pytest

from metaflax import models


def test_hugging_faces_defaults_are_ours():
    transformers = pytest.importorskip("transformers")
    theirs = transformers.GPT2Config().to_dict()
    assert models.GPTConfig.from_dict(theirs) == models.GPTConfig()
    ours = models.GPTConfig().to_dict()
    assert ours == {name: theirs[name] for name in ours}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"n_head": 5}, "n_head=5 does not divide n_embd=768"),
        ({"n_layer": 0}, "n_layer must be a positive integer, got 0"),
        ({"n_layer": True}, "n_layer must be a positive integer, got True"),
        ({"n_inner": 2.5}, "n_inner must be a positive integer, got 2.5"),
        ({"vocab_size": None}, "vocab_size must be a positive integer, got None"),
        ({"attn_pdrop": 1.0}, "attn_pdrop must lie in [0, 1), got 1.0"),
        ({"layer_norm_epsilon": -1e-5}, "layer_norm_epsilon must not be negative"),
        ({"activation_function": "gleu"}, "no activation activation_function='gleu'"),
        ({"eos_token_id": [1, 2]}, "eos_token_id must be None or one id below"),
        ({"eos_token_id": 50257}, "below vocab_size=50257, got 50257"),
    ],
)
def test_what_makes_no_network_is_refused(fields, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        models.GPTConfig(**fields)


@pytest.mark.parametrize(
    "fields", [{"model_type": "gpt_neo"}, {"add_cross_attention": True}]
)
def test_what_the_network_does_not_do_is_refused(fields):
    [(name, value)] = fields.items()
    with pytest.raises(ValueError, match=f"cannot do {name}={value!r}; it supports"):
        models.GPTConfig.from_dict(fields)


def test_special_tokens_that_a_small_vocabulary_lacks_are_none():
    config = models.GPTConfig.from_dict({"vocab_size": 9, "bos_token_id": 3})
    assert (config.bos_token_id, config.eos_token_id) == (3, None)
