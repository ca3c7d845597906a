"""Tests that each experiment's config loads, and that the intents run in miniature."""

import dataclasses
import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from metaflax import config as config_lib
from metaflax import workflows
from tests.experiments import scripts
from tests.workflows import worlds

CONFIGS = sorted(scripts.EXPERIMENTS.glob("*/config.py"))

pytestmark = pytest.mark.skipif(not CONFIGS, reason="experiments are not beside tests")


def name_of(path):
    return path.parent.name


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("METAFLAX_DATA", str(tmp_path / "data"))
    with worlds.apart(tmp_path):
        yield tmp_path


@pytest.mark.parametrize("path", CONFIGS, ids=name_of)
def test_every_config_loads_and_names_what_there_is(path, folder):
    config = config_lib.load_file(path)
    config_lib.check(config)
    assert config_lib.from_json(config_lib.to_json(config)) == config
    assert config.algorithm.algorithm in config_lib.ALGORITHMS
    assert config.data.task in config_lib.TASKS
    source = Path(config.data.data)
    if source.is_relative_to("runs"):  # Made by the experiment's own script.
        assert source.parts[1] == name_of(path)
        assert (path.parent / "prepare.py").is_file()
    elif config.data.data != "scored-texts":  # Given.
        assert source.is_relative_to(folder / "data")


@pytest.mark.parametrize("path", CONFIGS, ids=name_of)
def test_every_config_opens_with_its_command_and_what_to_expect(path):
    opening = path.read_text().split('"""')[1]
    assert "python -m metaflax" in opening
    assert "xpected" in opening


def intents_folder(folder):
    """What the intents of CLINC150 look like, small: 60 classes, three folds' names."""
    topics = [f"intent{i:02}" for i in range(60)]
    data = folder / "data" / "clinc150"
    data.mkdir(parents=True)
    worlds.write_jsonl(data / "examples.jsonl", worlds.records(topics, count=11))
    fold = {"train": topics[:44], "valid": topics[44:52], "test": topics[52:]}
    (data / "folds.json").write_text(json.dumps({"01": fold, "02": fold}))


def test_the_intents_run_in_miniature(folder):
    intents_folder(folder)
    script = scripts.load("intents")

    config = config_lib.load_file(scripts.EXPERIMENTS / "intents" / "config.py")
    bert = worlds.save_bert(folder / "bert")
    config = dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, model=str(bert)),
        training=dataclasses.replace(config.training, steps=1, valid_episodes=2),
        evaluation=dataclasses.replace(
            config.evaluation, test_episodes=3, batch_episodes=3
        ),
    )
    console = Console(file=io.StringIO())
    runs = folder / "runs"
    results = workflows.train(config, runs / "01", console)
    assert results["steps"] == 1
    for shot in (1, 5):
        episodes = dataclasses.replace(config.episodes, shot=shot)
        workflows.evaluate(runs / "01", console, name=f"shot{shot}", episodes=episodes)
    table = script.summary(runs, ["01"]).splitlines()
    assert [row.split(" | ")[0] for row in table[2:]] == ["| 01", "| all"] * 2
    assert script.accuracies(runs / "01", 5).shape == (2, 3)
