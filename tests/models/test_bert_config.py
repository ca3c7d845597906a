"""Tests for reading configurations."""

import pytest

from metaflax import models

BASE = models.BertConfig().to_dict()


def test_a_configuration_survives_a_round_trip():
    config = models.BertConfig(hidden_size=24, hidden_act="relu", layer_norm_eps=1e-5)
    assert models.BertConfig.from_dict(config.to_dict()) == config


def test_fields_without_meaning_for_the_network_are_passed_over():
    raw = {**BASE, "transformers_version": "4.8.2", "gradient_checkpointing": False}
    assert models.BertConfig.from_dict(raw) == models.BertConfig()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("model_type", "roberta", "cannot do model_type='roberta'.*'bert' only"),
        ("position_embedding_type", "relative_key", "'relative_key'.*'absolute' only"),
        ("is_decoder", True, "is_decoder=True.*False only"),
        ("add_cross_attention", True, "add_cross_attention=True"),
        ("hidden_act", "mish", "hidden_act='mish'; it has gelu"),
        ("num_attention_heads", 7, "num_attention_heads=7 does not divide"),
        ("num_hidden_layers", 0, "num_hidden_layers must be a positive integer, got 0"),
        ("vocab_size", "many", "vocab_size must be a positive integer, got 'many'"),
        ("hidden_dropout_prob", 1.5, r"hidden_dropout_prob must lie in \[0, 1\)"),
        ("layer_norm_eps", -1e-5, "layer_norm_eps must not be negative, got -1e-05"),
    ],
)
def test_what_the_network_cannot_do_is_refused(field, value, message):
    with pytest.raises(ValueError, match=message):
        models.BertConfig.from_dict({**BASE, field: value})
