"""Tests for Llama, Mistral, Qwen2 and Qwen3 against Hugging Face's in torch."""

import dataclasses
import itertools
import json

import chex
import jax
import numpy as np
import pytest

from metaflax import models, tree
from metaflax.models.families.llama import _config, _weight_names
from tests import marks
from tests.models.families.decoders import DECODERS, LLAMA, LLAMAS
from tests.models.families.encoder_decoders import ENCODER_DECODERS
from tests.models.pretrained.test_language_models import (
    assert_close_where_real,
    gpt_inputs,
    randomize,
    run,
)
from tests.models.speakers import padded_left, pairs, random_params, texts
from tests.models.test_generate_parity import assert_same_texts, torch_generates

# Texts of more tokens than the windows hold.
LENGTHS = (7, 3, 1, 5)
GENERATING = ("llama", "mistral", "qwen2 with windows", "qwen3")
# Networks and numbers of beams of the default tests.
QUICK = (("llama", 3), ("qwen2 with windows", 1), ("qwen3", 3))


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.fixture
def transformers():
    return pytest.importorskip("transformers")


@pytest.fixture
def words(tmp_path):
    """A directory with tokenizer files."""
    directory = tmp_path / "words"
    directory.mkdir()
    (directory / "tokenizer.json").write_text("{}")
    return directory


def torch_model(transformers, config):
    fields = config.to_dict()
    theirs = transformers.AutoConfig.for_model(fields.pop("model_type"), **fields)
    return transformers.AutoModelForCausalLM.from_config(
        theirs, attn_implementation="eager"
    )


@pytest.mark.parametrize("name", LLAMAS)
def test_logits_of_random_networks_equal_torchs(name, torch, transformers, tmp_path):
    config = LLAMAS[name]
    model = randomize(torch, torch_model(transformers, config))
    model.save_pretrained(tmp_path)
    loaded = models.load(tmp_path)
    assert loaded.config.to_dict() == config.to_dict()

    apply = jax.jit(models.llama(config).apply)
    tokens = texts(config.vocab_size, LENGTHS)
    for padded in (tokens, padded_left(tokens)):
        theirs = run(torch, model, **gpt_inputs(padded))
        ours = apply(loaded.params, padded, None)
        scale = np.abs(theirs).max()
        assert_close_where_real(ours, theirs, padded.mask, atol=1e-5 * scale)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_shards_of_half_precision_are_read(dtype, torch, transformers, tmp_path):
    model = randomize(torch, torch_model(transformers, LLAMA))
    model.to(getattr(torch, dtype)).save_pretrained(tmp_path, max_shard_size="2KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    loaded = models.load(tmp_path).params
    kernel = loaded["layer_1"]["mlp"]["down"]["kernel"]
    expected = model.model.layers[1].mlp.down_proj.weight.float().detach().numpy().T
    np.testing.assert_array_equal(kernel, expected)
    assert kernel.dtype == np.float32


@pytest.mark.parametrize("name", LLAMAS)
def test_saved_networks_have_equal_logits_in_transformers(
    name, torch, transformers, tmp_path, words
):
    config = LLAMAS[name]
    model, tokens = models.llama(config), texts(config.vocab_size, LENGTHS)
    params = random_params(model)
    models.save(tmp_path / "saved", config, params, tokenizer_from=words)
    theirs, info = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "saved", output_loading_info=True, attn_implementation="eager"
    )
    assert not any(info.values()), info
    assert type(theirs).__name__ == _weight_names.architecture(config)
    expected = run(torch, theirs.eval(), **gpt_inputs(tokens))
    ours = jax.jit(model.apply)(params, tokens, None)
    scale = np.abs(expected).max()
    assert_close_where_real(ours, expected, tokens.mask, atol=1e-5 * scale)
    loaded = models.load(tmp_path / "saved")
    assert loaded.config.to_dict() == config.to_dict()
    chex.assert_trees_all_equal(loaded.params, params)


@pytest.fixture(scope="module")
def generators(tmp_path_factory):
    """Networks that generate varied words, and torch's, by name."""
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("torch")
    words = tmp_path_factory.mktemp("words")
    (words / "tokenizer.json").write_text("{}")
    found = {}
    for name in GENERATING:
        model = models.llama(LLAMAS[name])
        params = random_params(model, seed=1, scale=0.6)
        saved = tmp_path_factory.mktemp("saved") / "model"
        models.save(saved, LLAMAS[name], params, tokenizer_from=words)
        theirs = transformers.AutoModelForCausalLM.from_pretrained(
            saved, attn_implementation="eager"
        )
        found[name] = model, params, theirs.eval()
    return found


@pytest.mark.parametrize(
    ("name", "num_beams"),
    [
        case if case in QUICK else pytest.param(*case, marks=pytest.mark.slow)
        for case in itertools.product(GENERATING, (1, 3))
    ],
)
def test_generated_texts_are_torchs(name, num_beams, generators):
    model, params, theirs = generators[name]
    setting = {"max_new": 9, "end": 2, "pad": 0}
    if num_beams == 1:
        generate = models.greedy(model, **setting)
    else:
        generate = models.beam_search(model, num_beams=num_beams, **setting)
    kinds = set()
    for seed in range(3):
        prompts = texts(model.vocab_size, LENGTHS, seed=seed)
        left = padded_left(prompts)  # As torch has it.
        inputs = {"input_ids": left.ids, "attention_mask": left.mask}
        expected = torch_generates(
            theirs, inputs, left.ids.shape[1], num_beams=num_beams
        )
        kinds |= {tuple(text) for text in expected}
        assert_same_texts(generate, params, prompts, expected)
    assert len(kinds) > 4  # Texts that differ were compared.


def test_beyond_the_window_nothing_is_seen():
    config = dataclasses.replace(LLAMAS["mistral"], num_hidden_layers=1)
    model, tokens = models.llama(config), texts(config.vocab_size, (7,))
    apply = jax.jit(lambda tokens: model.apply(random_params(model), tokens, None))
    changed = tokens._replace(ids=tokens.ids.at[:, 2].add(1))
    differs = np.any(np.abs(apply(tokens) - apply(changed)) > 1e-5, axis=2)[0]
    assert differs.tolist() == [False, False, True, True, True, False, False]


ADDED = {
    "lora_rank": "lora",
    "adapter_size": "adapter",
    "context_size": "context/vector",
    "prefix_size": "prefix",
}


@pytest.mark.parametrize("setting", ADDED)
@pytest.mark.parametrize("name", marks.quick(["gpt2", "llama", "t5"], ["llama", "t5"]))
def test_added_parameters_are_applied_where_they_are_found(name, setting):
    added = ADDED[setting]
    network, config = (DECODERS | ENCODER_DECODERS)[name]
    model, tokens = network(config), texts(config.vocab_size)
    tokens = pairs(config) if name in ENCODER_DECODERS else tokens
    params, apply = random_params(model), jax.jit(model.apply)
    expected = apply(params, tokens, None)
    grown = models.families.FAMILIES[name].add_parameters(params, {setting: 2})
    if setting != "prefix_size":  # Which are further tokens from the start.
        np.testing.assert_allclose(apply(grown, tokens, None), expected, atol=1e-4)

    def moved(path, leaf):
        key = jax.random.key(leaf.size)
        noise = jax.random.normal(key, leaf.shape)
        return leaf + noise if f"/{added}" in tree.path_name(path) else leaf

    other = apply(jax.tree_util.tree_map_with_path(moved, grown), tokens, None)
    assert not np.allclose(other, expected, atol=1e-2)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_local_experts": 8}, "num_local_experts=8"),
        ({"num_experts": 4}, "num_experts=4"),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
        ({"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "rope_type='dynamic'"),
        ({"layer_types": ["full_attention"]}, "layer_types=.*in a llama"),
        ({"num_key_value_heads": 2}, "num_key_value_heads=2 does not divide"),
        ({"head_dim": 5}, "head_dim must be even.* got 5"),
        ({"head_dim": "many"}, "head_dim must be a positive integer"),
        ({"hidden_act": "glu"}, "hidden_act='glu'"),
        ({"eos_token_id": [2, 99]}, "eos_token_id must be None or one id"),
        (
            {
                "model_type": "qwen3",
                "use_sliding_window": True,
                "layer_types": ["chunked_attention"] * 2,
            },
            "no layer of type 'chunked_attention'",
        ),
        (
            {
                "model_type": "qwen2",
                "use_sliding_window": True,
                "layer_types": ["full_attention"],
            },
            "layer_types names 1 layers, and num_hidden_layers is 2",
        ),
    ],
)
def test_what_the_network_does_not_do_is_refused_by_name(fields, message, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA.to_dict() | fields))
    with pytest.raises(ValueError, match=message) as caught:
        models.load(tmp_path)
    assert str(caught.value).startswith(str(tmp_path / "config.json"))


def test_other_networks_are_named_when_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "mixtral"}')
    with pytest.raises(ValueError, match="unknown model family 'mixtral'.*mistral"):
        models.load(tmp_path)


@pytest.mark.parametrize("kind", _config.MODEL_TYPES)
def test_defaults_are_hugging_faces(kind, transformers):
    ours = models.LlamaConfig.from_dict({"model_type": kind})
    theirs = transformers.AutoConfig.for_model(kind)
    for name in ("vocab_size", "num_kv", "head_size", "max_position_embeddings"):
        same = {"num_kv": "num_key_value_heads", "head_size": "head_dim"}
        expected = getattr(theirs, same.get(name, name), None)
        if expected is not None:
            assert getattr(ours, name) == expected, name
    assert ours.window(31) == (4096 if kind == "mistral" else None)
    assert ours.intermediate_size == theirs.intermediate_size
    assert ours.eos_token_id == theirs.eos_token_id


def test_of_several_ends_the_first_is_meant_and_all_come_back():
    config = dataclasses.replace(LLAMA, eos_token_id=(5, 2))
    assert config.end == 5
    again = models.LlamaConfig.from_dict(config.to_dict())
    assert again.eos_token_id == (5, 2)
    assert again.to_dict() == config.to_dict()
