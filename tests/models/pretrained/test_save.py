"""Tests for writing checkpoints: parity of Hugging Face's classes."""

import dataclasses
import json

import chex
import jax
import numpy as np
import pytest

from metaflax import models
from metaflax.models import pretrained
from metaflax.models.pretrained import _directory as directory
from tests.models.examples import CONFIG, packed, random_params, random_tokens

NUM_CLASSES = 5
CHOICES = [
    ("mean", False),
    ("mean", True),
    ("first", False),
    ("first", True),
    ("pooler", False),
]


def random_head(num_features, num_classes=NUM_CLASSES, scale=1.0, seed=5):
    rng = np.random.default_rng(seed)
    return {
        "kernel": scale * rng.normal(size=(num_features, num_classes)).astype("f"),
        "bias": scale * rng.normal(size=num_classes).astype("f"),
    }


@pytest.fixture
def words(tmp_path):
    """A directory with tokenizer files."""
    directory = tmp_path / "words"
    directory.mkdir()
    (directory / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n")
    return directory


def our_logits(config, params, head, tokens, **kwargs):
    apply = jax.jit(models.encoder(config, **kwargs).apply)
    features = np.asarray(apply(params, tokens, None))
    return features @ np.asarray(head["kernel"]) + np.asarray(head["bias"])


def torch_logits(directory, tokens):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    model, info = transformers.AutoModelForSequenceClassification.from_pretrained(
        directory, output_loading_info=True
    )
    assert not any(info.values()), info
    arguments = {
        "input_ids": tokens.ids,
        "token_type_ids": np.zeros_like(tokens.ids)
        if tokens.types is None
        else tokens.types,
        "attention_mask": tokens.mask,
    }
    with torch.no_grad():
        arguments = {k: torch.tensor(np.array(v)) for k, v in arguments.items()}
        return model.eval()(**arguments).logits.numpy()


def assert_torch_agrees(target, config, params, tokens, *, head, words, **kwargs):
    models.save(target, config, params, tokenizer_from=words, head=head, **kwargs)
    ours = our_logits(config, params, head, tokens, **kwargs)
    scale = np.max(np.abs(ours))
    np.testing.assert_allclose(
        torch_logits(target, tokens) / scale, ours / scale, rtol=0, atol=1e-5
    )
    loaded = models.load(target)
    again = our_logits(
        loaded.config, loaded.params, loaded.head, packed(tokens, 90), pooling="pooler"
    )
    np.testing.assert_allclose(again / scale, ours / scale, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("pooling", "standardize"), CHOICES)
@pytest.mark.parametrize(
    ("eps", "scale", "num_layers"), [(1e-12, 3.0, 2), (1e-5, 1e-3, 1)]
)
def test_torch_gives_the_same_logits(
    pooling, standardize, eps, scale, num_layers, tmp_path, words
):
    config = dataclasses.replace(
        CONFIG, layer_norm_eps=eps, num_hidden_layers=num_layers
    )
    assert_torch_agrees(
        tmp_path / "saved",
        config,
        random_params(config),
        random_tokens(),
        head=random_head(config.hidden_size, scale=scale),
        words=words,
        pooling=pooling,
        standardize=standardize,
    )


@pytest.mark.parametrize(("pooling", "standardize"), CHOICES[:2])
def test_torch_gives_the_same_logits_of_minilm(pooling, standardize, tmp_path, minilm):
    loaded = models.load(minilm)
    assert_torch_agrees(
        tmp_path / "saved",
        loaded.config,
        loaded.params,
        random_tokens(loaded.config, (20, 7, 12), length=20, types=False),
        head=random_head(loaded.config.hidden_size),
        words=minilm,
        pooling=pooling,
        standardize=standardize,
    )
    tokenize = pretrained.tokenizer(tmp_path / "saved")
    assert (
        tokenize("Hello.")["input_ids"]
        == pretrained.tokenizer(minilm)("Hello.")["input_ids"]
    )


@pytest.mark.parametrize("pooler", [True, False])
def test_an_encoder_alone_comes_back_as_it_was(pooler, tmp_path, words):
    params = random_params(CONFIG, pooler=pooler)
    models.save(tmp_path / "saved", CONFIG, params, tokenizer_from=words)
    loaded = models.load(tmp_path / "saved")
    chex.assert_trees_all_equal(loaded.params, params)
    assert loaded.config == CONFIG
    assert (loaded.head, loaded.labels, loaded.ignored) == (None, None, ())


@pytest.mark.parametrize(
    "problem_type", ["single_label_classification", "multi_label_classification"]
)
def test_labels_and_problem_type_are_written(problem_type, tmp_path, words):
    labels = ("joy", "fear", "Ärger", "d", "e")
    models.save(
        tmp_path / "saved",
        CONFIG,
        random_params(CONFIG),
        tokenizer_from=words,
        head=random_head(CONFIG.hidden_size),
        labels=labels,
        problem_type=problem_type,
    )
    loaded = models.load(tmp_path / "saved")
    assert loaded.labels == labels
    chex.assert_trees_all_equal(loaded.head, random_head(CONFIG.hidden_size))
    content = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert content["label2id"]["Ärger"] == 2
    assert content["problem_type"] == problem_type
    assert sorted(path.name for path in tmp_path.iterdir()) == ["saved", "words"]
    assert (tmp_path / "saved" / "vocab.txt").is_file()


def test_a_head_on_entities_comes_back_with_how_it_reads(tmp_path, words):
    params = random_params(CONFIG, pooler=False)
    head = random_head(2 * CONFIG.hidden_size)
    models.save(
        tmp_path / "saved",
        CONFIG,
        params,
        tokenizer_from=words,
        head=head,
        labels=tuple("abcde"),
        pooling="entities",
        standardize=True,
        purpose={"task": "relations"},
    )
    loaded = models.load(tmp_path / "saved")
    chex.assert_trees_all_equal(loaded.params, params)
    chex.assert_trees_all_equal(dict(loaded.head), head)
    assert (loaded.pooling, loaded.standardize) == ("entities", True)
    assert (loaded.task, loaded.labels) == ("relations", tuple("abcde"))
    (tmp_path / "saved" / "head.safetensors").unlink()
    with pytest.raises(ValueError, match=r"head\.safetensors is damaged"):
        models.load(tmp_path / "saved")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pooling": "pooler", "standardize": True}, "no norm behind its pooler"),
        (
            {"pooling": "mean", "head": random_head(12, 7)},
            "at most hidden_size / 2 = 6 classes, got 7",
        ),
        ({"head": random_head(11)}, r"a head has a kernel \[12, N\]"),
        ({"labels": ["a"]}, "5 classes, which want as many different labels"),
        ({"labels": ["a"] * 5}, "5 classes, which want as many different labels"),
        ({"problem_type": "ranking"}, "unknown problem_type='ranking'"),
        ({"pooling": "max"}, "unknown pooling='max'"),
        ({"tokenizer_from": "nowhere"}, "nowhere holds no tokenizer files"),
        (
            {"params": random_params(CONFIG, pooler=False)},
            "the parameters hold no pooler",
        ),
        (
            {"params": {**random_params(CONFIG), "lora": np.zeros(3, np.float32)}},
            "unexpected: lora",
        ),
        (
            {"config": dataclasses.replace(CONFIG, num_hidden_layers=3)},
            r"missing: bert\.encoder\.layer\.2",
        ),
        (
            {
                "pooling": "mean",
                "config": dataclasses.replace(CONFIG, layer_norm_eps=0.0),
            },
            "layer_norm_eps of 1e-16 or more, got 0.0",
        ),
    ],
)
def test_what_cannot_be_saved_is_refused_and_leaves_nothing(
    changes, message, tmp_path, words
):
    arguments = {
        "config": CONFIG,
        "params": random_params(CONFIG),
        "tokenizer_from": words,
        "head": random_head(CONFIG.hidden_size),
        **changes,
    }
    with pytest.raises(ValueError, match=message):
        models.save(tmp_path / "saved", **arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["words"]


@pytest.mark.parametrize("head", [None, random_head(CONFIG.hidden_size)])
@pytest.mark.parametrize(
    ("add", "message"),
    [
        (
            models.with_lora,
            r"no place for layer_0/attention/query/lora/down, .* and 4 more;"
            r" fold low-rank factors in with models\.merge_lora\(params\)$",
        ),
        (
            models.with_adapters,
            "no place for layer_0/attention/adapter/down/bias, .* and 12 more; save"
            " before",
        ),
        (models.with_context, "no place for embeddings/context/kernel, emb"),
    ],
)
def test_additions_to_bert_are_named_and_refused(add, message, head, tmp_path, words):
    params = add(random_params(CONFIG), jax.random.key(0))
    with pytest.raises(ValueError, match=message):
        models.save(tmp_path / "saved", CONFIG, params, tokenizer_from=words, head=head)
    assert [path.name for path in tmp_path.iterdir()] == ["words"]


def test_merged_low_rank_factors_are_saved(tmp_path, words):
    params = models.with_lora(random_params(CONFIG), jax.random.key(0))
    params = jax.tree.map(lambda leaf: leaf + 0.1, params)
    merged = models.merge_lora(params)
    models.save(tmp_path / "saved", CONFIG, merged, tokenizer_from=words)
    loaded = models.load(tmp_path / "saved")
    chex.assert_trees_all_equal(loaded.params, merged)


def test_a_directory_in_use_is_not_overwritten(tmp_path, words):
    (tmp_path / "empty").mkdir()
    save = lambda name: models.save(  # noqa: E731
        tmp_path / name, CONFIG, random_params(CONFIG), tokenizer_from=words
    )
    save("empty")
    before = (tmp_path / "empty" / "model.safetensors").read_bytes()
    with pytest.raises(ValueError, match="empty exists already; name a new directory"):
        save("empty")
    assert (tmp_path / "empty" / "model.safetensors").read_bytes() == before


def test_all_files_have_the_usual_permissions(words, tmp_path):
    (tmp_path / "usual").touch()
    target = tmp_path / "model"
    tensors = {"model.safetensors": {"x": np.zeros(2, np.float32)}}
    directory.write(target, {}, tensors, list(words.iterdir()), {"README.md": "-"})
    usual = (tmp_path / "usual").stat().st_mode
    modes = {path.name: path.stat().st_mode for path in target.iterdir()}
    assert modes == dict.fromkeys(modes, usual)
    assert len(modes) == 4
