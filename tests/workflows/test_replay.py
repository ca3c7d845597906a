"""Tests that a step is repeated exactly, and non-finite values are located."""

import json
import shutil

import numpy as np
import pytest

from metaflax import cli
from tests.workflows import worlds

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def few(world, tmp_path_factory):
    """A run of five steps with dropout, validated after the fourth."""
    run_dir = tmp_path_factory.mktemp("few") / "run"
    options = {"steps": 5, "eval_every": 4, "dropout": True, "tasks_per_step": 3}
    worlds.run(*world.train_args(run_dir, algorithm="fomaml", num_steps=1, **options))
    return run_dir


@pytest.fixture
def refused(capsys):
    """Runs a command that must fail; returns its error message."""

    def run(*args):
        assert cli.main([str(arg) for arg in args]) == 2
        return " ".join(capsys.readouterr().err.split())

    return run


@pytest.mark.parametrize(
    "step", [*(pytest.param(n, marks=pytest.mark.slow) for n in (1, 3)), 5]
)
def test_a_replayed_step_is_the_one_that_was_taken(step, few, capsys):
    worlds.run("replay", few, "--step", step)
    assert f"step {step}, by episode" in capsys.readouterr().out
    found = json.loads((few / "replay.json").read_text())
    assert [one["episode"] for one in found["episodes"]] == list(
        range(3 * (step - 1), 3 * step)
    )
    assert all(one["inner_losses"] for one in found["episodes"])
    assert not any(one["bad_gradients"] for one in found["episodes"])
    assert found["first_lost"] is None
    log = worlds.read_jsonl(few / "log.jsonl")
    [loss] = [r["loss"] for r in log if r["step"] == step and "loss" in r]
    mean = np.mean([one["query_loss"] for one in found["episodes"]])
    assert mean == pytest.approx(loss, rel=1e-5)


@pytest.mark.slow
def test_a_run_that_ended_says_how_to_look_closer(world, tmp_path, refused):
    run_dir = tmp_path / "run"
    options = {"steps": 9, "eval_every": 9, "learning_rate": 1e30, "warmup": 0.0}
    options |= {"optimizer": "sgd", "algorithm": "fomaml", "tasks_per_step": 2}
    error = refused(*world.train_args(run_dir, **options))
    assert f"`metaflax replay {run_dir}` shows the episodes of this step." in error
    step = json.loads((run_dir / "diverged.json").read_text())["step"]
    assert f"at step {step}," in error
    before = set(run_dir.rglob("*"))
    worlds.run("replay", run_dir)
    assert set(run_dir.rglob("*")) - before == {run_dir / "replay.json"}
    found = json.loads((run_dir / "replay.json").read_text())
    assert found["step"] == step
    bad = [
        one
        for one in found["episodes"]
        if one["bad_gradients"] or isinstance(one["query_loss"], str)
    ]
    assert bad
    assert "invalid value" in found["first_lost"]
    assert "metaflax/" in found["first_lost"]


def test_a_step_that_there_is_not_is_refused(few, tmp_path, refused):
    assert "did not end with a non-finite loss; name a step" in refused("replay", few)
    assert "step is 6, and the run has steps 1 to 5" in refused(
        "replay", few, "--step", 6
    )
    shutil.copytree(few, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "checkpoints")
    worlds.run("replay", tmp_path / "copy", "--step", 2)  # From the beginning.
    assert "holds no run" in refused("replay", tmp_path / "nowhere")
    shutil.copytree(few, tmp_path / "mixture" / "members" / "intents")
    member = tmp_path / "mixture" / "members" / "intents"
    assert "is a member of a mixture" in refused("replay", member, "--step", 2)
