"""Tests for configurations of encoder-decoders."""

import dataclasses
import re

import pytest

from metaflax import models
from tests.models.speakers import SEQ2SEQ

WORDS = SEQ2SEQ.to_dict()


def changed(part, **fields):
    return {**WORDS, part: {**WORDS[part], **fields}}


def test_a_configuration_comes_back_as_it_was():
    assert models.Seq2SeqConfig.from_dict(WORDS) == SEQ2SEQ


def test_special_tokens_may_stand_with_the_decoder():
    config = changed("decoder", decoder_start_token_id=5)
    del config["decoder_start_token_id"]
    assert models.Seq2SeqConfig.from_dict(config).decoder_start_token_id == 5


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({**WORDS, "model_type": "bert"}, "cannot do model_type='bert'"),
        ({**WORDS, "tie_encoder_decoder": True}, "cannot do tie_encoder_decoder=True"),
        ({**WORDS, "encoder": None}, "no dictionary of the encoder"),
        (changed("encoder", model_type="roberta"), "cannot do model_type='roberta'"),
        (changed("decoder", model_type="gpt2"), "cannot do model_type='gpt2'"),
        (changed("decoder", is_decoder=False), "cannot do is_decoder=False"),
        (
            changed("decoder", tie_word_embeddings=False),
            "cannot do tie_word_embeddings=False",
        ),
        (
            changed("decoder", cross_attention_hidden_size=8),
            "cannot do cross_attention_hidden_size=8",
        ),
        (
            {k: v for k, v in WORDS.items() if k != "decoder_start_token_id"},
            "decoder_start_token_id is None",
        ),
    ],
)
def test_what_the_network_does_not_do_is_refused(config, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        models.Seq2SeqConfig.from_dict(config)


def test_a_decoder_that_does_not_say_it_is_one_is_refused():
    config = {**WORDS, "decoder": {"model_type": "bert"}}
    with pytest.raises(ValueError, match="cannot do is_decoder=False"):
        models.Seq2SeqConfig.from_dict(config)


@pytest.mark.parametrize("name", ["decoder_start_token_id", "eos_token_id"])
def test_special_tokens_are_of_the_decoders_vocabulary(name):
    with pytest.raises(ValueError, match=f"{name} must be None or one id below"):
        dataclasses.replace(SEQ2SEQ, **{name: 29})
