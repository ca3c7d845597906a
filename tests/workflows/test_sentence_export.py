"""Tests of export to sentence-transformers."""

import json
import types

import numpy as np
import pytest

from metaflax import cli, config, data, models, tasks
from metaflax.workflows.inference._export import save_sentences
from metaflax.workflows.runs._embedder import embedder
from metaflax.workflows.runs._load_model import load_model
from metaflax.workflows.runs._trained import load_trained
from tests.models.families import networks
from tests.workflows import worlds

TEXTS = [row["text"] for row in worlds.records(count=2)]
FORMAT = ("--format", "sentence-transformers")


def features(model, params, texts):
    """Features of texts that are not longer than the model's maximum."""
    length = model.fitted(config.DataConfig(max_length=10**6))
    tokenized = model.tokenize(texts, length, tasks.TEXT)
    return embedder(model)(params, tokenized, np.arange(len(texts)))


def loaded(folder):
    model = load_model(config.ModelConfig(str(folder)))
    return model, features(model, model.pretrained.params, TEXTS)


@pytest.mark.parametrize("pooling", ["mean", "first"])
@pytest.mark.parametrize("standardize", [True, False])
def test_what_is_written_is_read_as_it_was(pooling, standardize, world, tmp_path):
    ours = load_model(config.ModelConfig(str(world.model), pooling, standardize))
    save_sentences(tmp_path / "out", ours, ours.pretrained.params)
    same, same_features = loaded(tmp_path / "out")
    assert (same.pooling, same.standardize) == (pooling, standardize)
    assert same.max_positions == ours.max_positions
    expected = features(ours, ours.pretrained.params, TEXTS)
    np.testing.assert_array_equal(same_features, expected)


def test_the_command_writes_the_encoder_of_a_run_and_its_card(trained, tmp_path):
    out = tmp_path / "out"
    worlds.run("export", "--run", trained, "--out", out, *FORMAT)
    run = load_trained(trained)
    _, written = loaded(out)
    expected = features(run.model, run.params["encoder"], TEXTS)
    np.testing.assert_array_equal(written, expected)
    card = (out / "README.md").read_text()
    assert "library_name: sentence-transformers" in card
    assert f'SentenceTransformer("{out.name}")' in card
    lengths = json.loads((out / "sentence_bert_config.json").read_text())
    assert lengths["max_seq_length"] == worlds.POSITIONS


def test_a_generative_model_and_poolings_of_tokens_are_refused(world, tmp_path):
    encoder = load_model(config.ModelConfig(str(world.model), "pooler", False))
    generative = types.SimpleNamespace(
        family=models.families.FAMILIES["gpt2"], pooling="mean"
    )
    for model, problem in (
        (encoder, "no pooling 'pooler'.*mean or first"),
        (encoder._replace(pooling="tokens"), "no pooling 'tokens'"),
        (encoder._replace(pooling="entities"), "no pooling 'entities'"),
        (generative, "'gpt2' is none"),
    ):
        with pytest.raises(ValueError, match=problem):
            save_sentences(tmp_path / "out", model, {})
    assert not (tmp_path / "out").exists()


def test_an_adapted_directory_is_refused(calibrated, tmp_path, capsys):
    args = ["export", "--model", calibrated, "--out", tmp_path / "out", *FORMAT]
    assert cli.main([str(arg) for arg in args]) == 2
    assert "sentence-transformers takes --run RUN" in capsys.readouterr().err


def theirs(folder, texts):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    model = sentence_transformers.SentenceTransformer(
        str(folder), device="cpu", local_files_only=True
    )
    return model.encode(texts)


@pytest.fixture(scope="module")
def utterances(shared_data):
    rows = data.read(shared_data / "clinc150" / "examples.jsonl").texts
    texts = list(rows[:: len(rows) // 99][:99])
    return [*texts, " ".join(texts)]  # And one that is cut.


@pytest.mark.slow
@pytest.mark.parametrize("name", networks.FIRST)
@pytest.mark.parametrize(("pooling", "standardize"), [("mean", True), ("first", False)])
def test_sentence_transformers_gives_the_same_features(
    name, pooling, standardize, tmp_path, utterances
):
    words = dict.fromkeys(word for t in utterances for word in t.lower().split())
    pad, unknown, *special = worlds.SPECIAL
    vocabulary = (unknown, pad, *special, *words)  # MPNet's padding is always 1.
    # The library divides by the length itself: without an epsilon.
    sizes = {"vocab_size": len(vocabulary), "layer_norm_eps": 1e-9}
    network = networks.make_config(name, networks.FIRST[name], **sizes)
    worlds.save_tokenizer(tmp_path / "words", vocabulary)
    params = networks.random_params(network)
    models.save(tmp_path / "m", network, params, tokenizer_from=tmp_path / "words")
    ours = load_model(config.ModelConfig(str(tmp_path / "m"), pooling, standardize))
    save_sentences(tmp_path / "out", ours, ours.pretrained.params)
    expected = features(ours, ours.pretrained.params, utterances)
    found = theirs(tmp_path / "out", utterances)
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.slow
def test_sentence_transformers_gives_the_features_of_minilm(
    minilm, tmp_path, utterances
):
    ours = load_model(config.ModelConfig(str(minilm)))
    save_sentences(tmp_path / "out", ours, ours.pretrained.params)
    expected = features(ours, ours.pretrained.params, utterances)
    np.testing.assert_allclose(
        theirs(tmp_path / "out", utterances), expected, atol=1e-5
    )
