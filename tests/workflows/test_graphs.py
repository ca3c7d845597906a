"""Tests of adapted models exported as graphs for other runtimes."""

import json
import subprocess
import sys

import numpy as np
import pytest
import transformers

import metaflax
from metaflax import cli
from metaflax.workflows.inference import _graphs
from tests.workflows import worlds

TOPICS = worlds.TOPICS[:3]
QUERIES = [row["text"] for row in worlds.records(TOPICS, count=3, seed=9)]
# Runs an exported directory with jax and a tokenizer, and without metaflax.
STRANGER = """
import json, sys
sys.modules["metaflax"] = None  # Importing it fails.
from pathlib import Path
import jax.export, numpy as np, safetensors.numpy, transformers
folder = Path(sys.argv[1])
graph = jax.export.deserialize(bytearray((folder / "model.stablehlo").read_bytes()))
weights = safetensors.numpy.load_file(folder / "weights.safetensors")
tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
texts = json.loads(sys.argv[2])
inputs = tokenizer(texts, padding=True, truncation=True, return_tensors="np")
names = ("input_ids", "attention_mask", "token_type_ids")
arrays = [inputs[name].astype(np.int32) for name in names if name in inputs]
print(np.asarray(graph.call(weights, *arrays)["probabilities"]).tolist())
"""


@pytest.fixture(scope="module")
def expected(calibrated):
    rows = metaflax.load(calibrated)(QUERIES)
    return np.array([list(row["probabilities"].values()) for row in rows])


def exported(calibrated, folder, format):
    worlds.run("export", "--model", calibrated, "--out", folder, "--format", format)
    return folder


def test_stablehlo_is_called_without_metaflax(calibrated, expected, tmp_path):
    folder = exported(calibrated, tmp_path / "graph", "stablehlo")
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, folder, json.dumps(QUERIES)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(json.loads(done.stdout), expected, atol=1e-4)
    metadata = json.loads((folder / "metadata.json").read_text())
    assert metadata["labels"] == list(TOPICS)
    assert metadata["temperature"] == 4


@pytest.mark.parametrize("format", ["stablehlo", "onnx"])
def test_the_code_of_a_card_truncates_long_texts_as_predict_does(
    format, tiny_bert, tmp_path, monkeypatch
):
    if format == "onnx":
        pytest.importorskip("onnxruntime")
    rows = worlds.records(TOPICS, count=2)
    support = worlds.write_jsonl(tmp_path / "support.jsonl", rows)
    model, graph = tmp_path / "model", tmp_path / "graph"
    start = ("--model", tiny_bert, "--head", "prototypes", "--max-length", 5)
    worlds.run("adapt", "--support", support, "--out", model, *start)
    card = (exported(model, graph, format) / "README.md").read_text()
    assert "truncated to 5 tokens" in card
    long = " ".join(QUERIES)
    code = card.split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(graph)
    names: dict = {}
    exec(code.replace("a text", long), names)
    outputs = names["outputs"]
    _, shares = outputs if format == "onnx" else outputs.values()
    [record] = metaflax.load(model)([long])
    assert record["truncated"]["tokens_read"] == 5
    expected = list(record["probabilities"].values())
    np.testing.assert_allclose(np.asarray(shares)[0], expected, atol=1e-4)


def test_onnx_takes_what_the_tokenizer_returns(calibrated, expected, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    folder = exported(calibrated, tmp_path / "graph", "onnx")
    session = runtime.InferenceSession(str(folder / "model.onnx"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    for texts, rows in ((QUERIES, expected), (QUERIES[:1], expected[:1])):
        inputs = tokenizer(texts, padding=True, return_tensors="np")
        logits, probabilities = session.run(
            ["logits", "probabilities"], {k: v.astype(int) for k, v in inputs.items()}
        )
        np.testing.assert_allclose(probabilities, rows, atol=1e-4)
        assert (logits.argmax(1) == rows.argmax(1)).all()
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["labels"]) == list(TOPICS)
    assert (folder / "config.json").is_file()


@pytest.mark.parametrize("problem", ["run", "exists", "both", "graph differs"])
def test_what_cannot_be_exported_is_refused(
    calibrated, tmp_path, capsys, monkeypatch, problem
):
    out = tmp_path / "out"
    args = ["--model", calibrated, "--out", out, "--format", "stablehlo"]
    match problem:
        case "run":
            args[1] = tmp_path / "run"
            args[1].mkdir()
            for name in ("config.json", "environment.json"):
                (args[1] / name).write_text("{}")
        case "exists":
            out.mkdir()
            (out / "notes.txt").write_text("mine")
        case "both":
            args += ["--run", calibrated]
        case "graph differs":
            monkeypatch.setattr(_graphs, "TOLERANCE", -1.0)
    assert cli.main(["export", *map(str, args)]) == 2
    message = capsys.readouterr().err
    assert {
        "run": "adapt it to a task first",
        "exists": "exists already",
        "both": "it alone",
        "graph differs": "nothing was written",
    }[problem] in message
    left = [path.name for path in out.iterdir()] if out.exists() else []
    assert left == (["notes.txt"] if problem == "exists" else [])


@pytest.mark.parametrize("pair_encoding", ["two_towers", "both"])
def test_texts_that_are_encoded_apart_are_refused(
    pair_encoding, tiny_bert, tmp_path, capsys
):
    rows = [
        {"text": row["text"], "text_pair": "filler00", "label": row["label"]}
        for row in worlds.records(TOPICS, count=2)
    ]
    support, model = worlds.write_jsonl(tmp_path / "s.jsonl", rows), tmp_path / "model"
    worlds.run(
        *("adapt", "--support", support, "--out", model, "--model", tiny_bert),
        *("--task", "pair_classification", "--pair-encoding", pair_encoding),
    )
    args = ["--model", model, "--out", tmp_path / "out", "--format", "stablehlo"]
    assert cli.main(["export", *map(str, args)]) == 2
    assert "graphs take one plain sequence" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
