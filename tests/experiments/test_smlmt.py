"""Tests that the experiments on masked words run in miniature, the mixture included."""

import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from metaflax import config as config_lib
from metaflax.config._files import to_json
from tests.experiments import scripts
from tests.workflows import worlds

pytestmark = scripts.marks


def silent():
    return Console(file=io.StringIO())


@pytest.mark.usefixtures("minilm")
def test_text_is_made_indexed_and_streamed(tmp_path, monkeypatch):
    script = scripts.load("smlmt", "throughput")
    monkeypatch.setattr(script, "BANDS", (20, 100, 1000))

    def run(stage):
        return script.run_stage(stage, tmp_path, 200_000, 0.2)

    assert 200_000 <= run("make")["bytes"] < 2_000_000
    found = run("index")
    assert found["texts"] == len((tmp_path / "raw.txt").read_text().splitlines())
    assert found["seconds_again"] <= found["seconds"]
    streamed = run("stream")
    assert streamed["episodes"] >= script.TASKS
    assert streamed["episodes_per_second"] > 0
    assert script.drawn(tmp_path, 1, 4, 2) == script.drawn(tmp_path, 0, 1, 6)[1::4]


def test_the_mixture_loads_and_opens_with_its_command(monkeypatch, tmp_path):
    monkeypatch.setenv("METAFLAX_DATA", str(tmp_path))
    path = scripts.EXPERIMENTS / "smlmt" / "mixture.py"
    config = config_lib.load_file(path, config_lib.MixtureConfig)
    config_lib.check_mixture(config)
    text = to_json(config)
    assert config_lib.from_json(text, config_lib.MixtureConfig) == config
    opening = path.read_text().split('"""')[1]
    assert "python -m metaflax mix" in opening
    assert "Expected" in opening


def test_the_data_of_the_mixture_are_given(shared_data):
    path = scripts.EXPERIMENTS / "smlmt" / "mixture.py"
    config = config_lib.load_file(path, config_lib.MixtureConfig)
    for member in config.members.values():
        text = isinstance(member, config_lib.TextMember)
        if not text and member.data.path == "scored-texts":
            continue  # Which pip fetches.
        source = Path(member.text.text if text else member.data.path)
        assert list(source.parent.glob(source.name)), source


def raw_text(path):
    rows = worlds.records(longest=5)
    path.write_text("\n".join(json.dumps({"text": row["text"]}) for row in rows))
    return str(path)


def data_folder(folder):
    """Intents and two of LEOPARD's tasks, one of them of pairs."""
    intents = folder / "clinc150"
    intents.mkdir(parents=True)
    topics = [f"intent{i:02}" for i in range(16)]
    worlds.write_jsonl(intents / "examples.jsonl", worlds.records(topics, count=11))
    fold = {"train": topics[:6], "valid": topics[6:11], "test": topics[11:]}
    (intents / "folds.json").write_text(json.dumps({"01": fold}))
    for name, more in (("airline", {}), ("scitail", {"text_pair": "topic00"})):
        rows = [
            {"id": f"{name}-{shot}-{drawn}-{n}", **row, **more}
            for shot in (4, 8)
            for drawn in range(2)
            for n, row in enumerate(worlds.records(worlds.TOPICS[:2], shot))
        ]
        asked = worlds.records(worlds.TOPICS[:2], 3, seed=1)
        asked = [{"id": f"{name}-eval-{n}", **r, **more} for n, r in enumerate(asked)]
        (folder / "leopard" / name).mkdir(parents=True)
        worlds.write_jsonl(folder / "leopard" / name / "train_episodes.jsonl", rows)
        worlds.write_jsonl(folder / "leopard" / name / "eval.jsonl", asked)
    return folder


def small_mixture(config, folder, text):
    """Two of its members, on data that are made up."""
    raw = config_lib.RawTextConfig(text, length=24)
    masked = dataclasses.replace(
        config.members["masked"], text=raw, rows_per_step=2, valid_rows=2
    )
    intents = config.members["intents"]
    source = dataclasses.replace(
        intents.data,
        path=str(folder / "clinc150" / "examples.jsonl"),
        split_file=str(folder / "clinc150" / "folds.json"),
        max_length=24,
    )
    sizes = config_lib.EpisodeConfig(way=2, shot=1, queries=2)
    intents = dataclasses.replace(
        intents, data=source, episodes=sizes, valid_episodes=2
    )
    return dataclasses.replace(
        config,
        members={"masked": masked, "intents": intents},
        evaluation=dataclasses.replace(
            config.evaluation, test_episodes=3, batch_episodes=3
        ),
    )


@pytest.mark.slow
def test_pretrainings_at_equal_compute_are_judged_in_miniature(tmp_path, monkeypatch):
    script, runs = scripts.load("smlmt"), tmp_path / "runs"
    monkeypatch.setattr(
        script, "KINDS", {"MLM": ("masked",), "both": ("masked", "intents")}
    )
    monkeypatch.setattr(script, "SUPERVISED", ("intents",))
    monkeypatch.setattr(script, "POINTS", 2)
    sizes = {"vocab_size": 120, "width": 16, "layers": 1, "heads": 2, "positions": 128}
    monkeypatch.setattr(script, "SMALL", sizes)
    folder = data_folder(tmp_path / "data")
    config = small_mixture(
        script.mixture.config, folder, raw_text(tmp_path / "raw.jsonl")
    )
    start = script.Start(4e6, ("*",), dict.fromkeys(script.KINDS, 1e-3))
    with worlds.apart(tmp_path):
        models = script.pretrained(config, "small", start, runs, silent())
        judges = list(script.few_shot.judges(folder, num_episodes=3))
        found = script.few_shot.scored(models, judges, runs / "small")
        again = script.few_shot.scored(
            dict.fromkeys(models, "gone"), [], runs / "small"
        )
        few = script.few_shot.judges(folder, num_episodes=3, num_queries=2, num_sets=1)
        firsts = [judge.episodes.episodes for judge in few][:2]
    assert [[len(e.query) for e in episodes] for episodes in firsts] == [[2, 2]] * 2
    assert list(models) == ["none", "MLM", "both"]
    spent = {kind: flops_spent(runs / "small" / kind) for kind in ("MLM", "both")}
    # Less than a step of either is left.
    assert all(0.6 * start.flops < x <= 1.2 * start.flops for x in spent.values())
    tasks = [f"{name}, {shot}" for name in ("airline", "scitail") for shot in (4, 8)]
    for kind, scores in found.items():
        assert list(scores) == [*tasks, "clinc150, 1", "clinc150, 5"]
        assert [len(x) for x in scores.values()] == [2, 2, 2, 2, 3, 3]
        for task, accuracy in scores.items():
            np.testing.assert_array_equal(accuracy, again[kind][task])
    lines = script.report.table(found).splitlines()
    assert len(lines) == 2 + 6 + 2
    assert lines[0] == "| accuracy (%) | none | MLM | both |"
    assert [line.count("±") for line in lines[2:]] == [3] * 6 + [2] * 2
    shares, accuracy = script.report.curve(runs / "small" / "MLM", "intents")
    assert (shares[0], shares[-1]) == (0, 1)
    assert all(0 <= x <= 100 for x in accuracy)
    trained = [runs / "small" / kind for kind in ("MLM", "both")]
    script.report.picture(tmp_path / "curves.png", trained, start.flops, "intents")
    assert (tmp_path / "curves.png").stat().st_size > 1000


def flops_spent(run_dir):
    """FLOPs of the steps of a run, by the counts of its compiled steps."""
    results = json.loads((run_dir / "results.json").read_text())
    costs = {
        path.parent.name: [r["flops"] for r in json.loads(path.read_text())]
        for path in (run_dir / "members").glob("*/cost.json")
    }
    return sum(
        count * np.mean(costs[name])
        for name, count in results["steps_of"].items()
        if count
    )
