"""Tests for configurations of encoders: unsupported fields are refused by name."""

import math
import tracemalloc

import jax
import pytest

from metaflax import models
from metaflax.models.families._registry import FAMILIES
from metaflax.models.families.llama._config import MODEL_TYPES
from tests.models.families import networks


@pytest.mark.parametrize(("name", "fields"), networks.ALL, ids=networks.IDS)
def test_a_configuration_survives_a_round_trip(name, fields):
    config = networks.make_config(name, fields)
    assert type(config).from_dict(config.to_dict()) == config


SCALED = {"full_attention": {"rope_type": "dynamic", "factor": 2.0}}


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("roberta", {"is_decoder": True}, "is_decoder=True"),
        ("roberta", {"model_type": "bert"}, "model_type='bert'.*'roberta' only"),
        ("roberta", {"pad_token_id": None}, "pad_token_id must be an id"),
        ("roberta", {"max_position_embeddings": 2}, "must be above 2"),
        ("distilbert", {"n_heads": 7}, "num_attention_heads=7 does not divide"),
        ("distilbert", {"activation": "mish"}, "hidden_act='mish'"),
        ("mpnet", {"relative_attention_num_buckets": 16}, "_num_buckets=16"),
        ("electra", {"embedding_size": 0}, "embedding_size must be a positive"),
        ("albert", {"num_hidden_groups": 13}, "num_hidden_groups=13 is above"),
        ("albert", {"inner_group_num": 0}, "inner_group_num must be a positive"),
        ("modernbert", {"layer_types": ["linear_attention"]}, "'linear_attention'"),
        (
            "modernbert",
            {"layer_types": ["full_attention"]},
            "names 1 layers, and num_hidden_layers is 22",
        ),
        ("modernbert", {"rope_parameters": SCALED}, "rope_type='dynamic'"),
        ("modernbert", {"classifier_pooling": "max"}, "classifier_pooling='max'"),
        ("deberta-v2", {"pos_att_type": "p2p|c2p"}, "pos_att_type='p2p'"),
        ("deberta-v2", {"norm_rel_ebd": "batch_norm"}, "norm_rel_ebd='batch_norm'"),
        ("deberta-v2", {"conv_kernel_size": 2}, "even conv_kernel_size"),
        ("deberta-v2", {"attention_head_size": 3}, "attention_head_size=3"),
    ],
)
def test_what_a_network_cannot_do_is_refused_by_name(name, fields, message):
    kind = FAMILIES[name].config_class
    with pytest.raises(ValueError, match=message):
        kind.from_dict({**kind().to_dict(), **fields})


@pytest.mark.parametrize(
    "value",
    ["many", {"of": 2}, math.nan, -2, True, pytest.param(10**400, id="10**400")],
)
@pytest.mark.parametrize("name", [*networks.FIRST, "gpt2", "t5", *MODEL_TYPES])
def test_a_number_that_makes_no_sense_is_refused_by_name(name, value):
    kind = FAMILIES[name].config_class
    fields = kind.from_dict({"model_type": name}).to_dict()
    renamed = {theirs: ours for ours, theirs in getattr(kind, "renamed", {}).items()}
    numbers = [
        field
        for field, usual in fields.items()
        if isinstance(usual, int | float)
        and not isinstance(usual, bool)
        # Unused by most encoders.
        and field != "pad_token_id"
    ]
    assert len(numbers) > 8
    for field in numbers:
        with pytest.raises(ValueError, match=renamed.get(field, field)):
            kind.from_dict({**fields, field: value})


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("modernbert", {"layer_types": 3}),
        ("modernbert", {"layer_types": [["full_attention"]]}),
        ("qwen2", {"use_sliding_window": True, "layer_types": 3}),
        ("deberta-v2", {"pos_att_type": 3}),
        ("deberta-v2", {"pos_att_type": ["c2p", 3]}),
        ("bert", {"hidden_act": ["gelu"]}),
    ],
)
def test_what_is_no_list_or_name_is_refused_by_name(name, fields):
    with pytest.raises(ValueError, match=r"layer_type|layer of type|pos_att|hidden_ac"):
        FAMILIES[name].config_class.from_dict({"model_type": name, **fields})


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("bert", {"num_hidden_layers": 10**6}),
        ("modernbert", {"num_hidden_layers": 10**6}),
        ("qwen3", {"num_hidden_layers": 10**6, "use_sliding_window": True}),
        ("albert", {"inner_group_num": 10**6}),
        ("gpt2", {"n_layer": 10**6}),
        ("t5", {"num_decoder_layers": 10**6}),
    ],
)
def test_more_layers_than_any_network_has_are_refused_before_each_has_a_name(
    name, fields
):
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="may be 10000 at most"):
            FAMILIES[name].config_class.from_dict({"model_type": name, **fields})
        assert tracemalloc.get_traced_memory()[1] < 10**6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["roberta", "mpnet"])
def test_a_text_longer_than_the_positions_is_refused(name):
    config = networks.make_config(name, {}, max_position_embeddings=8)
    encoder, tokens = models.encoder(config), networks.random_tokens(config)
    params = jax.eval_shape(encoder.init, jax.random.key(0))
    with pytest.raises(ValueError, match=r"7 tokens .* 6 of .*_embeddings=8"):
        jax.eval_shape(encoder.apply, params, tokens)
