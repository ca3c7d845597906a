"""Tests for the registry of model families, and for families outside the package."""

import dataclasses
import json

import chex
import jax
import numpy as np
import pytest
from stranger import conv as families

from metaflax import models
from metaflax.models.families._registry import named_family


@pytest.fixture
def conv(tmp_path):
    families.write_model(tmp_path / "conv", tmp_path)
    return tmp_path / "conv"


def test_each_family_is_an_encoder_or_generates():
    for name, family in models.families.FAMILIES.items():
        assert name in (family.model_type, *family.aliases)
        assert (family.encoder is None) == family.generative
    with pytest.raises(ValueError, match="either an encoder or a language_model"):
        dataclasses.replace(families.CONV, encoder=None)


def test_a_family_of_another_package_comes_back_with_its_models(conv, tmp_path):
    loaded = models.load(conv)
    assert loaded.family == families.CONV
    assert loaded.config == families.ConvConfig()
    params = families.conv_encoder(loaded.config).init(jax.random.key(0))
    chex.assert_trees_all_equal(loaded.params, params)

    head = {"kernel": np.ones((16, 2), np.float32), "bias": np.zeros(2, np.float32)}
    purpose = {"task": "classification"}
    loaded.family.save(
        tmp_path / "adapted",
        loaded.config,
        loaded.params,
        tokenizer_from=conv,
        head=head,
        labels=("a", "b"),
        pooling="mean",
        purpose=purpose,
    )
    again = models.load(tmp_path / "adapted")
    chex.assert_trees_all_equal(again.head, head)
    assert (again.labels, again.pooling, again.task) == (
        ("a", "b"),
        "mean",
        "classification",
    )


def test_a_family_is_named_by_its_import_path(conv):
    content = json.loads((conv / "config.json").read_text())
    del content["metaflax"]
    (conv / "config.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="unknown model family 'tiny-conv'"):
        models.load(conv)
    loaded = models.load(conv, "stranger.conv:CONV")
    assert loaded.family.import_path == "stranger.conv:CONV"
    with pytest.raises(ValueError, match="is no ModelFamily but a"):
        models.load(conv, "json:dumps")


def test_no_code_from_the_directory_of_a_model_is_imported(conv):
    (conv / "stranger").mkdir()
    with pytest.raises(ValueError, match="code that came with the model"):
        models.load(conv)


def test_weights_that_the_network_lacks_are_named(conv, tmp_path):
    params = {"word": np.zeros((128, 16), np.float32)}
    with pytest.raises(ValueError, match="missing: kernel"):
        families.CONV.save(
            tmp_path / "out", families.ConvConfig(), params, tokenizer_from=conv
        )


def test_what_a_family_does_not_support_is_refused():
    few = dataclasses.replace(named_family("gpt2"), additions={"lora_rank": None})
    with pytest.raises(ValueError, match="prefix_size is 2.*they support lora_rank"):
        few.add_parameters({}, {"lora_rank": 0, "prefix_size": 2})
    with pytest.raises(ValueError, match="no masked language model"):
        families.CONV.require_masked_lm()
