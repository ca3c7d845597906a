"""Tests for the lock of a run directory: one training at a time."""

import filelock
import pytest

from metaflax import cli, config, training
from metaflax.workflows import RunDirectory
from tests.workflows import worlds

IN_USE = "is in use by another training"


def test_a_second_training_in_a_run_directory_changes_nothing(
    world, tmp_path, monkeypatch, capsys
):
    run = tmp_path / "run"
    args = [str(arg) for arg in world.train_args(run, steps=3)]
    fit, disturbed = training.fit, []

    def disturbed_fit(*arguments, **kwargs):
        monkeypatch.setattr(training, "fit", fit)
        disturbed.append(cli.main(args))
        return fit(*arguments, **kwargs)

    monkeypatch.setattr(training, "fit", disturbed_fit)
    worlds.run(*args)
    assert disturbed == [2]
    error = capsys.readouterr().err
    assert f"metaflax: {run} {IN_USE}; wait until it ends" in error
    assert error.count("\n") == 1
    steps = [record["step"] for record in worlds.read_jsonl(run / "log.jsonl")]
    assert steps == [0, 1, 2, 2, 3, 3]
    with filelock.FileLock(run / ".lock").acquire(timeout=0):
        pass  # It is free again.


def test_of_two_that_begin_at_once_one_goes_on(tmp_path):
    """Neither of them finds a run when it starts."""
    first, second = (RunDirectory(tmp_path / "run") for _ in range(2))
    mine, other = config.Config(), config.Config(data=config.DataConfig(path="other"))
    with first.reserved(mine), second.reserved(other):
        first.lock()
        with pytest.raises(ValueError, match=IN_USE):
            second.lock()
        first.begin(mine)
        first.lock()  # It holds it.
    with pytest.raises(ValueError, match="another config"), second.reserved(other):
        pass
    with second.reserved(mine), pytest.raises(ValueError, match=IN_USE):
        first.lock()


def test_a_directory_left_before_the_first_step_is_taken_again(tmp_path):
    (tmp_path / "run").mkdir()
    for name in (".lock", "environment.json", ".config.json.1234.tmp"):
        (tmp_path / "run" / name).touch()
        RunDirectory(tmp_path / "run").check(config.Config())
    (tmp_path / "run" / "other").touch()
    with pytest.raises(ValueError, match="is no run directory"):
        RunDirectory(tmp_path / "run").check(config.Config())


def test_a_lock_taken_while_data_are_read_is_seen_before_anything_is_written(
    world, tmp_path, capsys
):
    run = tmp_path / "run"
    run.mkdir()
    with filelock.FileLock(run / ".lock"):
        assert cli.main([str(x) for x in world.train_args(run)]) == 2
    assert IN_USE in capsys.readouterr().err
    assert [path.name for path in run.iterdir()] == [".lock"]
