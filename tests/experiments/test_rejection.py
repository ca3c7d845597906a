"""Tests that rejection and calibration are measured on test classes, in miniature."""

import dataclasses
import io
import json

import numpy as np
import pytest
from rich.console import Console

from metaflax import workflows
from metaflax.workflows.runs._calibration import Calibration
from tests.experiments import scripts
from tests.workflows import worlds

pytestmark = scripts.marks


@pytest.fixture
def script():
    return scripts.load("rejection")


def test_a_data_set_is_measured_at_every_rate(script, tmp_path, monkeypatch):
    others = [{"text": f"{a} {b}"} for a in worlds.FILLER for b in worlds.FILLER]
    out_of_scope = worlds.write_jsonl(tmp_path / "oos.jsonl", others)
    rows = worlds.records(count=8)
    path = worlds.write_jsonl(tmp_path / "rows.jsonl", rows)

    def folds(config):
        config = script.on_split(config, path, worlds.SPLIT)
        yield workflows.load_run(config), out_of_scope

    monkeypatch.setattr(script, "DATA_SETS", {"words": folds})
    monkeypatch.setattr(script, "MAX_LENGTH", 24)
    console = Console(file=io.StringIO(), width=200)
    with worlds.apart(tmp_path):
        bert = worlds.save_bert(tmp_path / "bert")
        config = script.config_lib.load_file(
            scripts.EXPERIMENTS / "rejection/config.py"
        )
        config = dataclasses.replace(
            config,
            model=dataclasses.replace(config.model, name=str(bert)),
            episodes=dataclasses.replace(config.episodes, way=2, shot=2, queries=2),
            training=dataclasses.replace(config.training, valid_episodes=30),
            evaluation=dataclasses.replace(config.evaluation, test_episodes=4),
        )
        script.experiment(config, tmp_path / "runs", console)
    results = json.loads((tmp_path / "runs" / "results.json").read_text())["words"]
    assert results["folds"][0]["queries"] == 30 * 2 * 2
    kinds = {"false rejections", "classes held out", "out of scope"}
    for row in results["rejection"].values():
        assert set(row) == kinds
    rates = [float(rate) for rate in results["rejection"]]
    assert rates == list(script.RATES)
    for kind in kinds:  # A higher threshold rejects more.
        means = [row[kind]["mean"] for row in results["rejection"].values()]
        assert means == sorted(means)
        assert 0 <= means[0] <= means[-1] <= 1
    assert console.file.getvalue().count("| words |") == len(rates) + 1


def test_rates_are_shares_below_the_threshold_of_each_fold(script):
    logits = [np.array([[1.0, 0.0], [3.0, 0.0], [5.0, 0.0], [7.0, 0.0]])] * 2

    def fold(threshold):
        fitted = Calibration(
            2.0, "largest_logit", (0.01, 0.5), (threshold, threshold), 9, "", {}
        )
        targets = [np.array([0, 0, 0, 1])] * 2
        return script.Fold(fitted, logits, targets, {"out of scope": logits})

    result = script.record([fold(2.0), fold(6.0)])
    for row in result["rejection"].values():
        assert row["false rejections"]["mean"] == pytest.approx((1 / 4 + 3 / 4) / 2)
        assert row["out of scope"] == row["false rejections"]
    assert result["accuracy"]["mean"] == 0.75
    raw, scaled = result["calibration error"].values()
    confidence = 1 / (1 + np.exp(-np.array([1.0, 3.0, 5.0, 7.0])))
    assert raw["value"] == pytest.approx(ece(confidence), abs=1e-6)
    confidence = 1 / (1 + np.exp(-np.array([1.0, 3.0, 5.0, 7.0]) / 2))
    assert scaled["value"] == pytest.approx(ece(confidence), abs=1e-6)


def ece(confidence):
    """Of three right predictions and a wrong one, in 15 bins."""
    right = np.array([1, 1, 1, 0])
    places = np.ceil(confidence * 15).astype(int)
    gaps = [
        abs(np.sum(right[places == place] - confidence[places == place]))
        for place in set(places)
    ]
    return sum(gaps) / 4
