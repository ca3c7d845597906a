"""Tests for the masked language model and its files against Hugging Face's."""

import dataclasses
import functools
import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaflax import models, tree
from metaflax.models.families._registry import FAMILIES, load_masked_lm, save_masked_lm
from tests.models.examples import CONFIG, packed, random_params, random_tokens
from tests.workflows import worlds

BERT = FAMILIES["bert"].masked_lm
MARKS = jnp.array([[1, 6, 0], [2, 0, 1], [0, 0, 0], [4, 1, 3]])
TOKENS = random_tokens()._replace(marks=MARKS)


@pytest.fixture(scope="module")
def transformers():
    pytest.importorskip("torch")
    return pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """A directory with tokenizer files."""
    folder = tmp_path_factory.mktemp("words")
    worlds.save_tokenizer(folder)
    return folder


def params_of(config=CONFIG, seed=0):
    """Random values for all parameters."""
    head = jax.eval_shape(functools.partial(BERT.init_head, config),
                          jax.random.key(0))  # fmt: skip
    rng = np.random.default_rng(seed + 100)
    drawn = jax.tree.map(lambda x: jnp.asarray(0.5 * rng.normal(size=x.shape),
                                               jnp.float32), head)  # fmt: skip
    encoder = random_params(config, pooler=False, seed=seed)
    return {"encoder": encoder, "head": drawn}


def logits(params, tokens, config=CONFIG):
    return jax.jit(BERT.network(config).apply)(params, tokens, None)


def torch_logits(model, tokens):
    import torch

    arguments = {
        "input_ids": tokens.ids,
        "token_type_ids": tokens.types,
        "attention_mask": tokens.mask,
    }
    with torch.no_grad():
        out = model(**{k: torch.tensor(np.array(v)) for k, v in arguments.items()})
    return np.take_along_axis(out.logits.numpy(), np.asarray(MARKS)[..., None], axis=1)


@pytest.mark.parametrize("act", ["gelu", "relu"])
def test_a_saved_model_has_equal_logits_in_transformers(
    act, transformers, words, tmp_path
):
    config = dataclasses.replace(CONFIG, hidden_act=act)
    params = params_of(config)
    save_masked_lm(tmp_path / "out", config, params, tokenizer_from=words)
    model, info = transformers.BertForMaskedLM.from_pretrained(
        tmp_path / "out", output_loading_info=True, attn_implementation="eager"
    )
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    ours, theirs = logits(params, TOKENS, config), torch_logits(model.eval(), TOKENS)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    again = load_masked_lm(tmp_path / "out")
    assert again.config == config
    chex.assert_trees_all_equal(again.params, params)


def test_a_model_of_transformers_has_equal_logits_here(transformers, tmp_path):
    import torch

    theirs = transformers.BertConfig(**CONFIG.to_dict(), attn_implementation="eager")
    model = transformers.BertForMaskedLM(theirs).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    model.save_pretrained(tmp_path)
    ours = load_masked_lm(tmp_path)
    np.testing.assert_allclose(
        logits(ours.params, TOKENS), torch_logits(model, TOKENS), atol=1e-4
    )


def test_the_encoder_of_a_saved_model_loads_alone(words, tmp_path):
    params = params_of()
    save_masked_lm(tmp_path / "out", CONFIG, params, tokenizer_from=words)
    encoder = models.load(tmp_path / "out")
    chex.assert_trees_all_equal(encoder.params, params["encoder"])
    assert len(encoder.ignored) == 5
    assert encoder.head is None


def test_a_checkpoint_without_the_output_layer_loads_without_it(words, tmp_path):
    params = random_params(CONFIG)
    models.save(tmp_path / "out", CONFIG, params, tokenizer_from=words)
    found = load_masked_lm(tmp_path / "out")
    assert set(found.params) == {"encoder"}
    assert {name.partition(".")[0] for name in found.ignored} == {"pooler"}


def test_half_an_output_layer_and_an_untied_one_are_refused(words, tmp_path):
    import safetensors.numpy

    out = tmp_path / "out"
    save_masked_lm(out, CONFIG, params_of(), tokenizer_from=words)
    file = out / "model.safetensors"
    tensors = safetensors.numpy.load_file(file)
    safetensors.numpy.save_file(
        {k: v for k, v in tensors.items() if k != "cls.predictions.bias"}, file
    )
    with pytest.raises(ValueError, match=r"missing: cls\.predictions\.bias"):
        load_masked_lm(out)
    config = json.loads((out / "config.json").read_text())
    (out / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": 0}))
    with pytest.raises(ValueError, match="tie_word_embeddings is false"):
        load_masked_lm(out)


def test_packing_and_other_marks_change_no_logits():
    params = params_of()
    expected = logits(params, TOKENS)
    chex.assert_trees_all_close(
        logits(params, packed(TOKENS)), expected, rtol=1e-4, atol=1e-4
    )
    turned = TOKENS._replace(marks=MARKS[:, ::-1])
    chex.assert_trees_all_close(
        logits(params, turned)[:, ::-1], expected, rtol=1e-4, atol=1e-4
    )


def test_words_that_only_the_output_reads_learn_too():
    """The table is both input and output layer, so that every row has a gradient."""
    params = params_of()

    @jax.jit
    @jax.grad
    def gradient(params):
        found = BERT.network(CONFIG).apply(params, TOKENS, None)
        return jnp.mean(jax.nn.log_softmax(found)[..., 0])

    found = gradient(params)
    assert jnp.all(jnp.any(found["encoder"]["embeddings"]["word"] != 0, axis=1))
    assert tree.paths(found) == tree.paths(params)


def test_init_draws_all_parameters():
    shapes = jax.eval_shape(BERT.network(CONFIG).init, jax.random.key(0))
    chex.assert_trees_all_equal_shapes(shapes, params_of())


def test_texts_without_marks_are_refused():
    with pytest.raises(ValueError, match="at the marks of a text"):
        BERT.network(CONFIG).apply(params_of(), random_tokens(), None)
