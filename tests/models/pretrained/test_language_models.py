"""Tests for pretrained language models against Hugging Face's."""

import dataclasses
import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from metaflax import models
from metaflax.models.families.gpt2 import _weight_names as _gpt_names
from tests.models.families import encoder_decoders
from tests.models.speakers import GPT, padded_left, pairs, random_params, texts

GPTS = {
    "as usual": {},
    "untied": {"tie_word_embeddings": False, "n_inner": None, "n_layer": 3},
    "other heads": {"n_head": 4, "activation_function": "relu", "n_embd": 16},
    "unscaled": {"scale_attn_weights": False, "layer_norm_epsilon": 1e-3},
    "by layer": {"scale_attn_by_inverse_layer_idx": True, "n_head": 1},
}


def gpt_config(name):
    return dataclasses.replace(GPT, **GPTS[name])


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


def randomize(torch, model, seed=0):
    """Sets all parameters to random numbers, norms around one."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(0.3 * noise + (parameter == 1))
    return model.eval()


def run(torch, model, **inputs):
    """The logits of Hugging Face's model."""
    inputs = {
        k: v if torch.is_tensor(v) else torch.tensor(np.array(v)).long()
        for k, v in inputs.items()
    }
    with torch.no_grad():
        return model(**inputs).logits.numpy()


def gpt_inputs(tokens):
    places = np.maximum(np.cumsum(tokens.mask, axis=1) - 1, 0)
    inputs = {"input_ids": tokens.ids, "attention_mask": tokens.mask}
    return inputs | {"position_ids": places}


def assert_close_where_real(ours, theirs, mask, atol=1e-4):
    real = np.asarray(mask)[:, :, None]
    np.testing.assert_allclose(ours * real, theirs * real, rtol=0, atol=atol)


@pytest.mark.parametrize("name", GPTS)
@pytest.mark.parametrize("side", ["right", "left"])
def test_logits_of_random_gpts_equal_torchs(name, side, torch, transformers, tmp_path):
    config = gpt_config(name)
    theirs = transformers.GPT2Config(**config.to_dict(), attn_implementation="eager")
    model = randomize(torch, transformers.GPT2LMHeadModel(theirs))
    model.save_pretrained(tmp_path)
    loaded = models.load(tmp_path)
    assert loaded.config == config

    tokens = texts(config.vocab_size)
    tokens = padded_left(tokens) if side == "left" else tokens
    ours = jax.jit(models.gpt(config).apply)(loaded.params, tokens, None)
    assert_close_where_real(ours, run(torch, model, **gpt_inputs(tokens)), tokens.mask)


@pytest.mark.parametrize("name", encoder_decoders.CONFIGS)
def test_logits_of_random_encoder_decoders_equal_torchs(name, torch, tmp_path):
    config = encoder_decoders.CONFIGS[name]
    model = encoder_decoders.torch_model(config)
    model.save_pretrained(tmp_path)
    loaded = models.load(tmp_path)
    assert loaded.config.to_dict() == config.to_dict()
    pooler = ("encoder.pooler.dense.bias", "encoder.pooler.dense.weight")
    assert loaded.ignored == (() if name in encoder_decoders.T5S else pooler)

    apply = jax.jit(encoder_decoders.network(config)(config).apply)
    for pair in encoder_decoders.batches(config):
        theirs = run(torch, model, **encoder_decoders.inputs(pair))
        ours = apply(loaded.params, pair, None)
        scale = np.abs(theirs).max()
        assert_close_where_real(ours, theirs, pair.target.mask, 1e-5 * scale)


@pytest.mark.parametrize("name", ["as usual", "untied"])
def test_a_saved_gpt_has_equal_logits_in_transformers(
    name, torch, transformers, tmp_path, words
):
    config, tokens = gpt_config(name), texts(23)
    model = models.gpt(config)
    params = random_params(model)
    models.save(tmp_path / "saved", config, params, tokenizer_from=words)
    theirs, info = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "saved", output_loading_info=True
    )
    assert not any(info.values()), info
    assert theirs.config.eos_token_id == config.eos_token_id
    assert_close_where_real(
        jax.jit(model.apply)(params, tokens, None),
        run(torch, theirs.eval(), **gpt_inputs(tokens)),
        tokens.mask,
    )
    loaded = models.load(tmp_path / "saved")
    assert loaded.config == config
    chex.assert_trees_all_equal(loaded.params, params)


@pytest.mark.parametrize("name", ["two berts", "bridge", *encoder_decoders.T5S])
def test_a_saved_encoder_decoder_has_equal_logits_in_transformers(
    name, torch, transformers, tmp_path, words
):
    config = encoder_decoders.CONFIGS[name]
    model = encoder_decoders.network(config)(config)
    pair, params = pairs(config), random_params(model)
    models.save(tmp_path / "saved", config, params, tokenizer_from=words)
    theirs, info = transformers.AutoModelForSeq2SeqLM.from_pretrained(
        tmp_path / "saved", output_loading_info=True
    )
    assert not any(info.values()), info
    start = theirs.generation_config.decoder_start_token_id
    assert start == config.decoder_start_token_id
    expected = run(torch, theirs.eval(), **encoder_decoders.inputs(pair))
    assert_close_where_real(
        jax.jit(model.apply)(params, pair, None),
        expected,
        pair.target.mask,
        1e-5 * np.abs(expected).max(),
    )
    loaded = models.load(tmp_path / "saved")
    assert loaded.config.to_dict() == config.to_dict()
    chex.assert_trees_all_equal(loaded.params, params)


def gpt_files():
    """A GPT-2 under Hugging Face's names."""
    rng = np.random.default_rng(0)
    return {
        _gpt_names.file_name(name): rng.normal(size=target.shape).astype(np.float32)
        for name, target in _gpt_names.targets(GPT).items()
    }


def write(directory, tensors, config=GPT):
    (directory / "config.json").write_text(json.dumps(config.to_dict()))
    safetensors.numpy.save_file(tensors, directory / "model.safetensors")
    return directory


def test_queries_keys_and_values_are_columns_of_one_tensor(tmp_path):
    files = gpt_files()
    layer = models.load(write(tmp_path, files)).params["layer_1"]
    fused = files["transformer.h.1.attn.c_attn.weight"]
    for i, name in enumerate(("query", "key", "value")):
        np.testing.assert_array_equal(
            layer["attention"][name]["kernel"], fused[:, 12 * i : 12 * (i + 1)]
        )
    np.testing.assert_array_equal(
        layer["mlp"]["up"]["kernel"], files["transformer.h.1.mlp.c_fc.weight"]
    )


def test_names_without_prefix_masks_and_tied_tensors_are_understood(tmp_path):
    files = {k.removeprefix("transformer."): v for k, v in gpt_files().items()}
    beside = {
        "h.0.attn.bias": np.ones((1, 1, 20, 20), np.uint8),
        "h.1.attn.masked_bias": np.zeros((), np.float32),
        "lm_head.weight": files["wte.weight"].copy(),
    }
    loaded = models.load(write(tmp_path, files | beside))
    assert loaded.ignored == tuple(sorted(beside))


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("transformer.h.0.ln_1.bias", None, r"missing: h\.0\.ln_1\.bias\. Name a"),
        ("transformer.h.2.ln_1.bias", np.zeros(12, np.float32), "unexpected: h.2.ln_1"),
        (
            "transformer.h.0.attn.c_attn.bias",
            np.zeros(12, np.float32),
            r"another shape: h.0.attn.c_attn.bias \(expected \[36\], found \[12\]\)",
        ),
        ("wte.weight", np.zeros((23, 12), np.float32), "holds wte.weight under two"),
    ],
)
def test_each_tensor_out_of_place_is_named(name, tensor, message, tmp_path):
    files = {**gpt_files(), name: tensor}
    files = {name: tensor for name, tensor in files.items() if tensor is not None}
    with pytest.raises(ValueError, match=message):
        models.load(write(tmp_path, files))


def test_an_unsupported_configuration_names_its_file(tmp_path):
    config = {**GPT.to_dict(), "add_cross_attention": True}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"config\.json: .* add_cross_attention=True"):
        models.load(tmp_path)


def test_leaves_without_a_place_are_refused_and_leave_nothing(tmp_path, words):
    params = models.with_lora(random_params(models.gpt(GPT)), jax.random.key(0), rank=2)
    with pytest.raises(ValueError, match="unexpected: .*attention/query/lora/down"):
        models.save(tmp_path / "saved", GPT, params, tokenizer_from=words)
    assert not (tmp_path / "saved").exists()


def test_merged_low_rank_factors_are_saved(tmp_path, words):
    model, tokens = models.gpt(GPT), texts(23)
    params = models.with_lora(random_params(model), jax.random.key(0), rank=2)
    up = params["layer_0"]["attention"]["query"]["lora"]["up"]
    params["layer_0"]["attention"]["query"]["lora"]["up"] = up + jnp.ones_like(up)
    merged = models.merge_lora(params)
    models.save(tmp_path / "saved", GPT, merged, tokenizer_from=words)
    loaded = models.load(tmp_path / "saved")
    apply = jax.jit(model.apply)
    np.testing.assert_allclose(
        apply(loaded.params, tokens, None), apply(params, tokens, None), atol=1e-5
    )


def test_a_directory_in_use_is_not_overwritten(tmp_path, words):
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "mine").touch()
    with pytest.raises(ValueError, match="exists already; name a new directory"):
        models.save(tmp_path / "saved", GPT, {}, tokenizer_from=words)
