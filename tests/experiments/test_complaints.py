"""Tests that complaints in product reviews are watched, in miniature."""

import json
import sys

import numpy as np
import pytest

from tests.experiments import scripts
from tests.workflows import worlds

pytestmark = scripts.marks


@pytest.fixture
def script():
    return scripts.load("complaints")


def reviews(number):
    rng = np.random.default_rng(0)
    labels = dict(zip(worlds.TOPICS[:2], ("negative", "positive"), strict=True))
    return [
        {"text": worlds.texts([topic], 1, rng)[0], "label": label, "domain": domain}
        for domain in ("toys", "tools")
        for topic, label in labels.items()
        for _ in range(number)
    ]


def test_a_surge_is_noticed_and_quiet_streams_keep_to_the_rate(
    script, tmp_path, monkeypatch, capsys
):
    (tmp_path / "amazon_sentiment").mkdir()
    worlds.write_jsonl(tmp_path / "amazon_sentiment" / "examples.jsonl", reviews(40))
    monkeypatch.setenv("METAFLAX_DATA", str(tmp_path))
    products = script.products
    monkeypatch.setattr(script, "products", lambda rows: products(rows, least=20))
    sizes = script.Sizes(draws=1, shot=4, pasts=(100, 400), streams=4, groups=200)
    monkeypatch.setattr(script, "Sizes", lambda: sizes)
    with worlds.apart(tmp_path):
        bert = worlds.save_bert(tmp_path / "bert")
        arguments = ["--model", str(bert), "--draws", "1", "--out", str(tmp_path)]
        monkeypatch.setattr(sys, "argv", ["run.py", *arguments])
        assert script.main() == 0
    table = capsys.readouterr().out.splitlines()
    rows = [tuple(cell.strip() for cell in line.split("|")[1:3]) for line in table[2:]]
    assert rows == [(k, n) for k in ("like it", "apart") for n in ("100", "400")]
    results = json.loads((tmp_path / "results.json").read_text())
    assert set(results) == {"toys", "tools"}
    for [draw] in results.values():
        assert set(draw) == {" | ".join(row) for row in rows}


def test_charts_of_exact_probabilities_notice_every_surge(script):
    rng = np.random.default_rng(0)
    exact = [np.zeros(50), np.ones(50)]
    quiet = script.drawn(exact, 0.15, (20, 500, 20), rng)
    assert quiet.mean() == pytest.approx(0.15, abs=0.01)
    past = np.repeat([0.0, 1.0], [1700, 300])
    chart = script._control_chart.fit(past, 20, 0.005)
    assert script.alarms(chart, quiet).mean() <= 0.01
    surging = script.drawn(exact, 0.45, (20, 50, 20), rng)
    assert script.alarms(chart, surging).any(axis=1).all()


def test_without_data_it_ends_with_a_sentence(script, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("METAFLAX_DATA", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["run.py"])
    assert script.main() == 2
    assert "METAFLAX_DATA names no folder" in capsys.readouterr().err
