"""Tests that the model of a run can be started from."""

import json

import jax
import numpy as np
import pytest

from metaflax import cli, models, workflows
from metaflax.workflows.runs._trained import load_trained
from tests.workflows import worlds


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    out = tmp_path_factory.mktemp("exported") / "model"
    worlds.run("export", "--run", trained, "--out", out)
    return out


def test_what_is_exported_is_the_encoder_that_validated_best(trained, exported):
    loaded = models.load(exported)
    expected = load_trained(trained).params["encoder"]
    kept = {name: loaded.params[name] for name in expected}
    jax.tree.map(np.testing.assert_array_equal, kept, expected)


@pytest.mark.thorough
def test_another_run_begins_where_this_one_ended(trained, exported, world, tmp_path):
    ended = json.loads((trained / "selected.json").read_text())["valid_score"]
    args = world.train_args(
        tmp_path / "run", model=exported, steps=1, eval_every=1, valid_episodes=20
    )
    worlds.run(*args)
    log = worlds.read_jsonl(tmp_path / "run" / "log.jsonl")
    began = next(row for row in log if "valid_accuracy" in row)
    assert began["step"] == 0
    assert began["valid_accuracy"] == pytest.approx(ended, abs=1e-6)
    before = worlds.read_jsonl(trained / "log.jsonl")
    first = next(row for row in before if "valid_accuracy" in row)
    assert began["valid_accuracy"] > first["valid_accuracy"] + 0.1


def test_low_rank_factors_are_merged(trained_by, tmp_path):
    run = trained_by("protonet", lora_rank=2)
    loaded = models.load(workflows.export(run, tmp_path / "out"))
    expected = models.merge_lora(load_trained(run).params["encoder"])
    kept = {name: loaded.params[name] for name in expected}
    jax.tree.map(np.testing.assert_array_equal, kept, expected)


def test_a_directory_that_exists_stays(trained, exported, capsys):
    said = exported / "config.json"
    before = said.read_text()
    assert cli.main(["export", "--run", str(trained), "--out", str(exported)]) == 2
    assert f"{exported} exists already" in capsys.readouterr().err
    assert said.read_text() == before


def test_parts_that_bert_has_not_are_refused(trained_by, tmp_path):
    run = trained_by("protonet", adapter_size=2)
    with pytest.raises(ValueError, match="no place for"):
        workflows.export(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()
