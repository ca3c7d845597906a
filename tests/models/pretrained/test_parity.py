"""The network against Hugging Face's, in torch."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaflax import models
from metaflax.models.layers import _config
from tests.models import examples
from tests.models.examples import CONFIG, packed, random_tokens

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

SENTENCES = [
    "The cat sat on the mat.",
    "It is a truth universally acknowledged, that a single man in possession of a good"
    " fortune, must be in want of a wife.",
    "Why?",
]


def torch_model(config, *, pooler=True, seed=0):
    """A `BertModel` all of whose parameters are random."""
    theirs = transformers.BertConfig(**config.to_dict(), attn_implementation="eager")
    model = transformers.BertModel(theirs, add_pooling_layer=pooler).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(0.3 * noise + (parameter == 1))
    return model


def run_torch(model, tokens):
    types = jnp.zeros_like(tokens.ids) if tokens.types is None else tokens.types
    arguments = {
        "input_ids": tokens.ids,
        "token_type_ids": types,
        "attention_mask": tokens.mask,
    }
    with torch.no_grad():
        return model(**{k: torch.tensor(np.array(v)) for k, v in arguments.items()})


def assert_parity(model, pretrained, tokens):
    theirs, config = run_torch(model, tokens), pretrained.config
    states = theirs.last_hidden_state.numpy()
    real = np.asarray(tokens.mask)[:, :, None]
    expected = {
        "mean": (states * real).sum(axis=1) / real.sum(axis=1),
        "first": states[:, 0],
    }
    if theirs.pooler_output is not None:
        expected["pooler"] = theirs.pooler_output.numpy()
    hidden_states = jax.jit(functools.partial(examples.hidden_states, config))
    ours = hidden_states(pretrained.params, tokens)
    np.testing.assert_allclose(ours * real, states * real, atol=1e-5)
    tokens = packed(tokens, tokens.mask.size)
    for pooling, features in expected.items():
        apply = jax.jit(models.encoder(config, pooling=pooling).apply)
        np.testing.assert_allclose(
            apply(pretrained.params, tokens, None), features, atol=1e-5
        )


@pytest.mark.parametrize("hidden_act", _config.ACTIVATIONS)
def test_every_activation_is_hugging_faces(hidden_act):
    x = np.linspace(-8, 8, 101, dtype=np.float32)
    theirs = transformers.activations.ACT2FN[hidden_act](torch.tensor(x)).numpy()
    ours = _config.ACTIVATIONS[hidden_act](jnp.asarray(x))
    np.testing.assert_allclose(ours, theirs, atol=2e-6)


@pytest.mark.parametrize(
    ("pooler", "types", "changes"),
    [
        (True, True, {}),
        (False, True, {"hidden_act": "relu", "hidden_size": 14, "vocab_size": 31}),
        (True, False, {"hidden_act": "gelu_new", "layer_norm_eps": 1e-3}),
        (True, True, {"num_hidden_layers": 1, "type_vocab_size": 5}),
    ],
)
def test_random_networks_equal_torchs(pooler, changes, types, tmp_path):
    config = dataclasses.replace(CONFIG, num_attention_heads=2, **changes)
    model = torch_model(config, pooler=pooler)
    model.save_pretrained(tmp_path)
    loaded = models.load(tmp_path)
    assert loaded.config == config
    assert ("pooler" in loaded.params) == pooler
    assert_parity(model, loaded, random_tokens(config, types=types))


@pytest.mark.parametrize("hidden_act", ["gelu", "gelu_new"])
def test_random_networks_equal_torchs_in_float64(hidden_act, tmp_path):
    config = dataclasses.replace(CONFIG, hidden_act=hidden_act)
    model = torch_model(config)
    model.save_pretrained(tmp_path)
    loaded = models.load(tmp_path)
    tokens = random_tokens(config)
    theirs = run_torch(model.double(), tokens)
    real = np.asarray(tokens.mask)[:, :, None]
    with jax.enable_x64(True):
        params = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), loaded.params)
        encoder = models.encoder(config, pooling="pooler", dtype=jnp.float64)
        hidden_states = functools.partial(
            examples.hidden_states, config, dtype=jnp.float64
        )
        states = np.asarray(jax.jit(hidden_states)(params, tokens))
        pooled = np.asarray(jax.jit(encoder.apply)(params, packed(tokens), None))
    assert states.dtype == pooled.dtype == np.float64
    expected = theirs.last_hidden_state.numpy()
    np.testing.assert_allclose(states * real, expected * real, rtol=0, atol=1e-10)
    np.testing.assert_allclose(pooled, theirs.pooler_output.numpy(), rtol=0, atol=1e-10)


def test_minilm_equals_torchs(minilm):
    model = transformers.BertModel.from_pretrained(minilm).eval()
    tokenize = models.pretrained.tokenizer(minilm)
    batch = tokenize(SENTENCES, padding=True, return_tensors="np")
    ids, mask = (
        jnp.asarray(batch[k], jnp.int32) for k in ("input_ids", "attention_mask")
    )
    loaded = models.load(minilm)
    assert loaded.ignored == ("embeddings.position_ids",)
    assert_parity(model, loaded, models.Tokens(ids, None, mask))
