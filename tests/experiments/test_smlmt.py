"""Tests that the experiments on masked words run in miniature, the mixture included."""

import dataclasses
import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from metaflax import config as config_lib
from tests.experiments import scripts
from tests.workflows import worlds

pytestmark = scripts.beside_tests


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
    text = config_lib.to_json(config)
    assert config_lib.from_json(text, config_lib.MixtureConfig) == config
    opening = path.read_text().split('"""')[1]
    assert "python -m metaflax mix" in opening
    assert "Expected" in opening


def test_the_data_of_the_mixture_are_given(shared_data):
    path = scripts.EXPERIMENTS / "smlmt" / "mixture.py"
    config = config_lib.load_file(path, config_lib.MixtureConfig)
    for member in config.members.values():
        text = isinstance(member, config_lib.TextMember)
        source = Path(member.text.text if text else member.data.data)
        assert list(source.parent.glob(source.name)), source


@pytest.mark.usefixtures("quick_compilation")
def test_pretrainings_are_compared_in_miniature(tmp_path):
    script = scripts.load("smlmt")
    text = tmp_path / "raw.txt"
    text.write_text("\n".join(row["text"] for row in worlds.records(longest=5)))
    bert = worlds.save_bert(tmp_path / "bert")
    folder = tmp_path / "intents"
    folder.mkdir()
    worlds.write_jsonl(folder / "examples.jsonl", worlds.records())
    split = {"train": worlds.TOPICS[:3], "valid": worlds.TOPICS[3:5],
             "test": worlds.TOPICS[5:]}  # fmt: skip
    (folder / "folds.json").write_text(json.dumps({"01": split}))
    loaded = config_lib.load_file(scripts.EXPERIMENTS / "smlmt" / "config.py")
    config = dataclasses.replace(
        loaded,
        data=dataclasses.replace(
            loaded.data, data=str(text), max_length=24, word_bands=(10, 30)
        ),
        episodes=config_lib.EpisodeConfig(way=2, shot=1, queries=2),
        training=dataclasses.replace(
            loaded.training, steps=1, eval_every=1, valid_episodes=2
        ),
        evaluation=dataclasses.replace(
            loaded.evaluation, test_episodes=3, batch_episodes=3
        ),
    )
    pretraining = config_lib.PretrainConfig(
        network=dataclasses.replace(
            script.settings.pretraining.network,
            model=str(bert),
            num_layers=1,
            hidden_size=16,
            intermediate_size=16,
        ),
        text=config_lib.RawTextConfig(text=str(text), length=24),
        training=config_lib.LoopConfig(
            steps=1, eval_every=1, rows_per_step=2, valid_rows=2
        ),
    )
    with worlds.apart(tmp_path):
        episodes = {1: script.Intents.drawn(folder, 1, 3)}
        table = script.compared(
            config, pretraining, episodes, range(2), tmp_path / "runs",
            Console(file=io.StringIO()),
        )  # fmt: skip
    lines = table.splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == [
        "masked words",
        "more masked words",
        "smlmt",
    ]
    assert all("±" in line for line in lines[2:])
