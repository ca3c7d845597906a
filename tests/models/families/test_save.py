"""Tests for saved encoders, loaded here and by torch."""

import jax
import numpy as np
import pytest

from metaflax import models
from metaflax.models.families._registry import FAMILIES
from tests.models.families import networks
from tests.models.families.networks import assert_close

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

# Settings that the class of a family cannot express.
APART = {"mpnet": ["mean"], "albert": ["mean", "tokens"]}
CLASSES = {
    "tokens": transformers.AutoModelForTokenClassification,
    "mean": transformers.AutoModelForSequenceClassification,
    "first": transformers.AutoModelForSequenceClassification,
    "pooler": transformers.AutoModelForSequenceClassification,
}


def from_torch(kind, directory, tokens):
    model, info = kind.from_pretrained(directory, output_loading_info=True)
    assert not any(info.values()), info
    with torch.no_grad():
        outputs = model.eval()(**networks.inputs(tokens))
    return (outputs.logits if "logits" in outputs else outputs[0]).numpy()


def logits(config, params, head, tokens, **kwargs):
    x = networks.features(config, params, tokens, **kwargs)
    return np.asarray(x) @ np.asarray(head["kernel"]) + np.asarray(head["bias"])


@pytest.mark.parametrize("name", networks.FIRST)
@pytest.mark.parametrize(
    ("pooling", "standardize"),
    [
        ("mean", True),
        ("tokens", True),
        pytest.param("first", False, marks=pytest.mark.slow),
    ],
)
@pytest.mark.thorough
def test_torch_gives_the_logits_of_what_is_saved(
    name, pooling, standardize, tmp_path, words
):
    config = networks.make_config(name, networks.FIRST[name])
    params, tokens = networks.random_params(config), networks.random_tokens(config)
    rng = np.random.default_rng(5)
    head = {
        "kernel": rng.normal(size=(config.hidden_size, 3)).astype(np.float32),
        "bias": rng.normal(size=3).astype(np.float32),
    }
    how = {"pooling": pooling, "standardize": standardize}
    models.save(tmp_path / "a", config, params, tokenizer_from=words, head=head, **how)
    ours = logits(config, params, head, tokens, **how)
    real = np.asarray(tokens.mask)[:, :, None] if pooling == "tokens" else 1

    loaded = models.load(tmp_path / "a")
    again = logits(
        loaded.config,
        loaded.params,
        loaded.head,
        tokens,
        pooling=loaded.pooling,
        standardize=loaded.standardize,
    )
    assert_close(again * real, ours * real, 1e-5)
    if pooling in APART.get(name, []):
        assert (tmp_path / "a" / "head.safetensors").is_file()
    else:
        theirs = from_torch(CLASSES[pooling], tmp_path / "a", tokens)
        assert_close(theirs * real, ours * real, 1e-5)


@pytest.mark.parametrize("name", networks.FIRST)
def test_classifiers_of_torch_are_read_with_their_pooler(name, tmp_path):
    config = networks.make_config(name, networks.FIRST[name])
    kind = "AutoModelForSequenceClassification"
    model = networks.torch_model(config, kind, num_labels=3)
    model.save_pretrained(tmp_path)
    loaded, tokens = models.load(tmp_path), networks.random_tokens(config)
    ours = logits(
        loaded.config, loaded.params, loaded.head, tokens, pooling=loaded.pooling
    )
    with torch.no_grad():
        assert_close(ours, model(**networks.inputs(tokens)).logits.numpy(), 1e-5)


@pytest.mark.parametrize(("name", "fields"), networks.ALL, ids=networks.IDS)
def test_an_encoder_alone_comes_back_as_it_was(name, fields, tmp_path, words):
    config = networks.make_config(name, fields)
    params = networks.random_params(config)
    prefixed = models.with_prefix(params, jax.random.key(0), size=2)
    FAMILIES[name].save(tmp_path / "a", config, prefixed, tokenizer_from=words)
    loaded = models.load(tmp_path / "a")
    assert loaded.config == config
    jax.tree.map(np.testing.assert_array_equal, loaded.params, prefixed)
