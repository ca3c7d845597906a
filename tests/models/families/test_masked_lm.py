"""Masked language models of every family of encoders against Hugging Face's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaflax.models.families._registry import load_masked_lm, save_masked_lm
from tests.models.families import networks
from tests.models.families.networks import assert_close

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

MARKS = np.array([[1, 6, 0], [2, 0, 1], [3, 0, 4]])


def logits_of_torch(model, tokens):
    with torch.no_grad():
        logits = model(**networks.inputs(tokens)).logits.numpy()
    return np.take_along_axis(logits, MARKS[..., None], axis=1)


@pytest.mark.parametrize("name", networks.FIRST)
def test_logits_and_files_are_those_of_torch(name, tmp_path, words):
    config = networks.make_config(name, networks.FIRST[name], num_hidden_layers=1)
    model = networks.torch_model(config, "AutoModelForMaskedLM")
    model.save_pretrained(tmp_path / "theirs")
    tokens = networks.random_tokens(config)
    expected = logits_of_torch(model, tokens)

    loaded = load_masked_lm(tmp_path / "theirs")
    apply = loaded.family.masked_lm.network(loaded.config).apply
    marked = tokens._replace(marks=jnp.asarray(MARKS))
    assert_close(jax.jit(apply)(loaded.params, marked, None), expected)

    saved = tmp_path / "ours"
    save_masked_lm(saved, loaded.config, loaded.params, tokenizer_from=words)
    again, info = transformers.AutoModelForMaskedLM.from_pretrained(
        saved, output_loading_info=True, attn_implementation="eager"
    )
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    np.testing.assert_array_equal(logits_of_torch(again.eval(), tokens), expected)


@pytest.mark.parametrize("name", networks.FIRST)
def test_an_encoder_alone_gets_a_new_output_layer(name, tmp_path):
    config = networks.make_config(name, networks.FIRST[name], num_hidden_layers=1)
    networks.torch_model(config).save_pretrained(tmp_path)
    loaded = load_masked_lm(tmp_path)
    assert set(loaded.params) == {"encoder"}
    masked_lm = loaded.family.masked_lm
    head = jax.eval_shape(
        lambda key: masked_lm.init_head(loaded.config, key), jax.random.key(0)
    )
    fresh = jax.eval_shape(masked_lm.network(loaded.config).init, jax.random.key(0))
    assert fresh["head"] == head
    assert jax.tree.structure(fresh["encoder"]) == jax.tree.structure(
        loaded.params["encoder"]
    )
