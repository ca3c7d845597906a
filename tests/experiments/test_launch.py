"""Tests of the recipes of prediction and service beyond one process."""

import subprocess
import sys

import pytest

import metaflax
from metaflax import models
from tests.experiments.scripts import EXPERIMENTS, beside_tests, load
from tests.models.families import networks
from tests.workflows import worlds

pytestmark = beside_tests
LAUNCH = EXPERIMENTS / "launch"
TOPICS = worlds.TOPICS[:3]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A classifier, and more texts than one batch of it."""
    folder = tmp_path_factory.mktemp("launch")
    with worlds.apart(folder):
        model = worlds.save_bert(folder / "tiny")
        support = worlds.write_jsonl(folder / "s.jsonl", worlds.records(TOPICS, 3))
        worlds.run(
            "adapt", "--support", support, "--model", model, "--out", folder / "m"
        )
        rows = [{"n": n, **row} for n, row in enumerate(worlds.records(TOPICS, 20))]
        worlds.write_jsonl(folder / "texts.jsonl", rows)
        yield folder, rows


def check(found, rows, model):
    """All rows are there once, with the predictions of one process."""
    predictions = metaflax.load(model)([row["text"] for row in rows])
    expected = {
        row["n"]: (row["text"], row["label"], prediction["label"])
        for row, prediction in zip(rows, predictions, strict=True)
    }
    assert len(found) == len(rows)
    for row in found:
        assert expected[row["n"]] == (row["text"], row["label"], row["predicted"])
        assert 1 / len(TOPICS) <= row["probability"] <= 1


def run(script, *args):
    command = [sys.executable, LAUNCH / script, *args]
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_datasets_predicts_in_batches(world, tmp_path, monkeypatch):
    folder, rows = world
    script = load("launch", "predict_datasets")
    monkeypatch.setattr(script.datasets.config, "HF_DATASETS_CACHE", tmp_path)
    out = tmp_path / "labels.jsonl"
    script.main(folder / "m", str(folder / "texts.jsonl"), out, "1")
    check(worlds.read_jsonl(out), rows, folder / "m")


@pytest.mark.thorough
def test_datasets_predicts_in_several_processes(world, tmp_path, monkeypatch):
    folder, rows = world
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    out = tmp_path / "labels.jsonl"
    run("predict_datasets.py", folder / "m", folder / "texts.jsonl", out, 2)
    check(worlds.read_jsonl(out), rows, folder / "m")


@pytest.mark.slow
def test_ray_predicts_in_workers(world, tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="ray is absent")
    folder, rows = world
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    out = tmp_path / "labels"
    run("predict_ray.py", folder / "m", folder / "texts.jsonl", out, 2)
    found = [row for part in sorted(out.iterdir()) for row in worlds.read_jsonl(part)]
    check(found, rows, folder / "m")


@pytest.mark.slow
@pytest.mark.parametrize("name", networks.FIRST)
def test_graphs_give_the_same_answers_on_a_thousand_texts(
    name, tmp_path, shared_data, capsys
):
    pytest.importorskip("onnxruntime", reason="onnxruntime is absent")
    script = load("launch", "graphs")
    files = [
        shared_data / "clinc150" / "examples.jsonl",
        shared_data / "amazon_sentiment" / "examples.jsonl",
    ]
    texts = script.read(files, 1000)
    words = dict.fromkeys(word for text in texts for word in text.lower().split())
    pad, unknown, *special = worlds.SPECIAL
    vocabulary = (unknown, pad, *special, *words)  # MPNet's padding is always 1.
    sizes = {"vocab_size": len(vocabulary), "max_position_embeddings": 130}
    network = networks.make_config(name, networks.FIRST[name], **sizes)
    worlds.save_tokenizer(tmp_path / "words", vocabulary)
    params = networks.random_params(network)
    models.save(tmp_path / "m", network, params, tokenizer_from=tmp_path / "words")
    rows = [{"text": t, "label": "ab"[i % 2]} for i, t in enumerate(texts[::100])]
    support = worlds.write_jsonl(tmp_path / "s.jsonl", rows)
    where = ("--model", tmp_path / "m", "--out", tmp_path / "out")
    worlds.run("adapt", "--support", support, *where)
    results = script.compare(tmp_path / "out", texts, tmp_path / "graphs")
    for format in ("onnx", "stablehlo"):
        assert results[format]["difference"] < 1e-4
    with capsys.disabled():
        print(name, results)
