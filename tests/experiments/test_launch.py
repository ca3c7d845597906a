"""Tests of the recipes of prediction and service beyond one process."""

import subprocess
import sys

import pytest

import metaflax
from tests.experiments.scripts import EXPERIMENTS, beside_tests, load
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
