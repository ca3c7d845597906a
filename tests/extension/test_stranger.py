"""Tests of extensions in another package, by import paths on the command line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from stranger import conv
from stranger.ratings import sampler

import metaflax
from metaflax import config, data, models
from tests.workflows import worlds

HERE = Path(__file__).parent
OPTIONS = {
    "task": "stranger.ratings:ratings",
    "algorithm": "stranger.algorithm:BIAS_MAML",
    "select_by": "stranger.ratings:farthest",
    "log_sinks": "stranger.sink:TabSink",
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stranger")
    conv.write_model(folder / "conv", folder)
    return folder / "conv"


@pytest.fixture(scope="module")
def run_dir(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    rows = [
        {"text": f"{'good ' * stars}{word}", "label": f"{group} {stars}"}
        for group in "abcd"
        for stars in range(1, 4)
        for word in ("meal", "stay", "book", "film", "song", "town", "walk", "play")
    ]
    path = worlds.write_jsonl(folder / "rows.jsonl", rows)
    options = {
        "data": path,
        "model": model,
        "pooling": "mean",
        "max_length": 64,
        "way": 3,
        "shot": 2,
        "queries": 2,
        "num_steps": 2,
        "inner_learning_rate": 0.1,
        "steps": 4,
        "tasks_per_step": 2,
        "eval_every": 2,
        "valid_episodes": 4,
        "test_episodes": 4,
        "batch_episodes": 4,
        "run_dir": folder / "run",
        **OPTIONS,
    }
    worlds.run("train", *worlds.arguments(options))
    return folder / "run"


def test_training_takes_all_of_them(run_dir):
    results = json.loads((run_dir / "results.json").read_text())
    assert set(results["report"]["all"]) == {"distance", "support"}
    assert set(results["intervals"]["after"]) >= {"closeness", "farthest", "accuracy"}
    lines = (run_dir / "log.tsv").read_text().splitlines()
    steps = [line.split("\t")[0] for line in lines]
    assert {"1", "2", "3", "4"} <= set(steps)
    kept = config.from_json((run_dir / "config.json").read_text())
    assert kept.data.task == OPTIONS["task"]


def test_its_run_is_evaluated_adapted_predicted_and_exported(run_dir, tmp_path):
    worlds.run("evaluate", run_dir, "--shot", 1, "--baselines", "frozen")
    assert (run_dir / "evaluation.json").exists()

    rows = [("good meal", "low"), ("good good good meal", "high")]
    support = [{"text": text, "label": label} for text, label in rows]
    path = worlds.write_jsonl(tmp_path / "support.jsonl", support)
    adapted = tmp_path / "adapted"
    worlds.run("adapt", "--run", run_dir, "--support", path, "--out", adapted)
    predictor = metaflax.load(adapted)
    labels = [row["label"] for row in predictor([text for text, _ in rows])]
    assert labels == ["low", "high"]

    worlds.run("export", "--run", run_dir, "--out", tmp_path / "encoder")
    assert models.load(tmp_path / "encoder").family.model_type == "tiny-conv"


def test_it_works_from_a_shell_where_the_package_is_in_the_working_directory(
    run_dir, tmp_path
):
    rows = [{"text": "good meal", "label": "low"}, {"text": "good good", "label": "up"}]
    path = worlds.write_jsonl(tmp_path / "support.jsonl", rows)
    root = Path(metaflax.__file__).parents[1]
    program = "import sys; from metaflax.cli import main; sys.exit(main())"
    done = subprocess.run(
        [
            *(sys.executable, "-c", program, "adapt", "--run", run_dir),
            *("--support", path, "--out", tmp_path / "out"),
        ],
        cwd=HERE,
        env=os.environ | {"PYTHONPATH": str(root), "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "adapted to 2 classes" in done.stdout


def test_what_cannot_be_imported_is_one_sentence(run_dir, tmp_path, capsys):
    args = ("--model", "minilm", "--data", tmp_path / "x", "--task", "nowhere.at:all")
    assert metaflax.cli.main(["train", *map(str, args)]) == 2
    error = capsys.readouterr().err
    assert "the task 'nowhere.at:all' cannot be imported" in error
    assert error.count("\n") == 1


def test_the_sampler_of_ratings_keeps_their_order(run_dir):
    texts = tuple(f"{n} {c}" for c in "abc" for n in range(4))
    examples = data.Examples("letters", texts, tuple((t[-1],) for t in texts))
    episode = sampler(examples, config.EpisodeConfig(way=3, shot=1, queries=1))
    drawn = episode.episode(0, 5)
    assert drawn.classes == (0, 1, 2)
    labels = [examples.labels[row][0] for row in drawn.support]
    assert np.array_equal(["abc".index(c) for c in labels], drawn.support_targets)
