"""Runs shared by many tests, and a cache folder of their own."""

import functools
import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from metaflax.workflows.runs._calibration import Calibration
from tests.workflows import worlds


@pytest.fixture(scope="package", autouse=True)
def _apart(tmp_path_factory):
    """Isolates the tests from the user's files."""
    with worlds.apart(tmp_path_factory.mktemp("apart")):
        yield


@pytest.fixture(scope="package")
def tiny_bert(tmp_path_factory) -> Path:
    return worlds.save_bert(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="package")
def world(tiny_bert, tmp_path_factory) -> worlds.World:
    folder = tmp_path_factory.mktemp("data")
    split = folder / "split.json"
    split.write_text(json.dumps(worlds.SPLIT))
    return worlds.World(
        tiny_bert,
        worlds.write_jsonl(folder / "topics.jsonl", worlds.records()),
        split,
        worlds.write_jsonl(folder / "labels.jsonl", worlds.label_records()),
    )


@pytest.fixture(scope="package")
def trained(world, tmp_path_factory) -> Path:
    """A meta-trained run."""
    run_dir = tmp_path_factory.mktemp("trained") / "run"
    options = {"valid_episodes": 20, "test_episodes": 40, "tasks_per_step": 4}
    worlds.run(
        *world.train_args(
            run_dir, steps=30, eval_every=15, learning_rate=1e-2, **options
        )
    )
    return run_dir


@pytest.fixture(scope="package")
def trained_by(world, tmp_path_factory):
    """Function from the name and settings of an algorithm to a run of two steps."""

    @functools.cache
    def run_dir(algorithm: str, **needs) -> Path:
        path = tmp_path_factory.mktemp(algorithm) / "run"
        rates = {"inner_learning_rate": 0.5, "num_steps": 2, "learning_rate": 1e-3}
        options = {**rates, **needs}
        worlds.run(*world.train_args(path, algorithm=algorithm, **options))
        return path

    return run_dir


@pytest.fixture(scope="package")
def adapted(trained, tmp_path_factory) -> Path:
    """A classifier of the first three topics."""
    folder = tmp_path_factory.mktemp("adapted")
    support = worlds.records(worlds.TOPICS[:3], count=3, seed=1)
    file = worlds.write_jsonl(folder / "support.jsonl", support)
    worlds.run("adapt", "--support", file, "--out", folder / "out", "--run", trained)
    return folder / "out"


@pytest.fixture(scope="package")
def calibrated(tiny_bert, tmp_path_factory) -> Path:
    """A classifier of the first three topics without a run, at a temperature of 4."""
    folder = tmp_path_factory.mktemp("calibrated")
    support = worlds.records(worlds.TOPICS[:3], count=3, seed=1)
    file = worlds.write_jsonl(folder / "support.jsonl", support)
    start = ("--model", tiny_bert)
    worlds.run("adapt", "--support", file, "--out", folder / "out", *start)
    path = folder / "out" / "config.json"
    config = json.loads(path.read_text())
    fitted = Calibration(4.0, "largest_probability", (), (), 60, "3-way 3-shot", {})
    config["metaflax"]["calibration"] = fitted._asdict()
    path.write_text(json.dumps(config))
    return folder / "out"


@pytest.fixture
def silent() -> Console:
    return Console(file=io.StringIO())
