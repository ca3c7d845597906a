"""Tests for the cost of steps in `train`."""

import json

import pytest

from metaflax import cli
from metaflax.workflows.meta_training import _outer_loop
from tests import marks
from tests.workflows import worlds

pytestmark = pytest.mark.thorough


@pytest.fixture
def pretend(monkeypatch):
    """Pretends that a device has a number of free bytes."""

    def limit(size):
        monkeypatch.setattr(_outer_loop, "free_memory", lambda device: size)

    return limit


def log_of(run_dir):
    return worlds.read_jsonl(run_dir / "log.jsonl")


def costs_of(run_dir):
    return json.loads((run_dir / "cost.json").read_text())


@pytest.mark.slow
def test_fewer_tasks_at_once_fit_a_small_device_with_the_same_losses(
    world, tmp_path, pretend, capsys
):
    sizes, options = {}, {"tasks_per_step": 4, "devices": "one"}
    for chunk in ("vmap", 2):
        worlds.run(*world.train_args(tmp_path / f"{chunk}", task_loop=chunk, **options))
        (record,) = costs_of(tmp_path / f"{chunk}")
        memory = record["memory_bytes"]
        sizes[chunk] = memory["peak"] - memory["arguments"]
    assert sizes["vmap"] > sizes[2]
    assert "one step: " in capsys.readouterr().out

    pretend(sizes[2])
    small = tmp_path / "small"
    worlds.run(*world.train_args(small, task_loop="vmap", **options))
    said = capsys.readouterr().out
    assert "4 tasks at once would need" in said
    assert "takes 2 at once" in said
    assert costs_of(small)[0]["tasks_at_once"] == 2
    for mine, whole in zip(log_of(small), log_of(tmp_path / "vmap"), strict=True):
        assert mine == pytest.approx(whole, rel=1e-3)


def test_a_step_that_cannot_fit_is_refused_before_anything_is_written(
    world, tmp_path, pretend, capsys
):
    pretend(1000)
    args = [str(arg) for arg in world.train_args(tmp_path / "run")]
    assert cli.main(args) == 2
    error = capsys.readouterr().err
    assert "even with one task at a time" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("broken", marks.quick(["_cost.parse", "cost"], ["cost"]))
def test_a_step_whose_program_cannot_be_analysed_trains_all_the_same(
    broken, world, trained_by, tmp_path, capsys, monkeypatch
):
    def fails(*args):
        raise RuntimeError("another form of HLO")

    plain = trained_by("protonet", devices="one")
    capsys.readouterr()
    monkeypatch.setattr(f"metaflax.profiling.{broken}", fails)
    run_dir = tmp_path / "run"
    rates = {"inner_learning_rate": 0.5, "num_steps": 2, "learning_rate": 1e-3}
    rates |= {"devices": "one"}
    worlds.run(*world.train_args(run_dir, algorithm="protonet", **rates))
    assert capsys.readouterr().out.count("of one step is unknown") == 1
    assert log_of(run_dir) == log_of(plain)
    [record, *_] = costs_of(run_dir)
    assert record["flops"] is None
    assert (record["memory_bytes"] is None) == (broken == "cost")


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        pytest.param(
            *("metaflax.profiling.profile", "No profile was made: no trace"),
            marks=pytest.mark.slow,
        ),
        (
            "metaflax.workflows.meta_training._train.plot_run",
            "No plot was made: no trace",
        ),
    ],
)
def test_a_profile_or_plot_that_fails_does_not_end_a_run(
    broken, message, world, tmp_path, capsys, monkeypatch
):
    def fails(*args, **kwargs):
        raise RuntimeError("no trace")

    monkeypatch.setattr(broken, fails)
    run_dir = tmp_path / "run"
    options = {"algorithm": "protonet", "devices": "one"}
    worlds.run(*world.train_args(run_dir, **options), "--profile")
    assert message in " ".join(capsys.readouterr().out.split())
    assert (run_dir / "results.json").is_file()


def test_a_profile_is_shown_and_kept_and_changes_no_result(
    world, trained_by, tmp_path, capsys
):
    plain = trained_by("protonet", devices="one")
    run_dir = tmp_path / "run"
    rates = {"inner_learning_rate": 0.5, "num_steps": 2, "learning_rate": 1e-3}
    rates |= {"devices": "one"}
    args = world.train_args(run_dir, algorithm="protonet", **rates)
    worlds.run(*args, "--profile")
    said = capsys.readouterr().out
    assert "by part of the work" in said
    assert str(run_dir / "profile") in said
    record = json.loads((run_dir / "profile.json").read_text())
    total = sum(row["ms"] for row in record["rows"]) + record["idle_ms"]
    assert total == pytest.approx(record["profiled_ms"])
    parts = {row["part"] for row in record["rows"]}
    assert {"attention", "mlp", "norm", "outer optimizer"} <= parts
    assert list((run_dir / "profile").rglob("*.xplane.pb"))
    assert log_of(run_dir) == log_of(plain)

    assert cli.main([str(arg) for arg in [*args, "--profile"]]) == 2
    error = capsys.readouterr().err
    assert "no step to profile" in error
    assert error.count("\n") == 1


def test_a_profile_of_several_devices_is_refused(world, tmp_path, capsys):
    args = [str(arg) for arg in world.train_args(tmp_path / "run")]
    assert cli.main([*args, "--profile"]) == 2
    assert (
        "a profile can only be made of one device; set devices"
        in capsys.readouterr().err
    )
    assert not (tmp_path / "run").exists()
