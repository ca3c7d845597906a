"""Tests for `train`: files, learning, compilations and resuming."""

import dataclasses
import errno
import itertools
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import chex
import jax
import numpy as np
import pytest

from metaflax import cli, config, evaluation, training, workflows
from metaflax.algorithms._table import ALGORITHMS
from metaflax.training._placement import OneDevice
from metaflax.workflows import RunDirectory
from metaflax.workflows.meta_training import _composition, _members, _outer_loop
from metaflax.workflows.runs import _run, _trained
from tests import marks
from tests.workflows import worlds

# One of each kind of parameters and estimators; tests/algorithms has them all.
LEARNERS = {
    "anil": {},
    "cavia": {"context_size": 4},
    "fomaml": {},
    "imaml": {"num_steps": 5},
    "leopard": {},
    "maml": {"lora_rank": 2, "adapts": ("*/lora", "head")},
    "maml_plus_plus": {"hyper_learning_rate": 0.01},
    "proto_maml": {},
    "protonet": {},
    "relation": {},
    "reptile": {},
    "warpgrad": {"adapter_size": 4},
}

QUICK = ("protonet",)


def results_of(run_dir):
    return json.loads((run_dir / "results.json").read_text())


def test_a_run_leaves_config_versions_log_checkpoints_results_and_a_plot(trained):
    names = {path.name for path in trained.iterdir()}
    assert names >= {
        "checkpoints",
        "config.json",
        "cost.json",
        "environment.json",
        "log.jsonl",
        "result.png",
        "results.json",
        "selected.json",
    }
    stored = workflows.RunDirectory(trained).config()
    assert (stored.training.steps, stored.episodes.way) == (30, 3)
    environment = json.loads((trained / "environment.json").read_text())
    assert environment["packages"]["jax"] == jax.__version__
    assert (trained / "result.png").read_bytes().startswith(b"\x89PNG")
    selected = json.loads((trained / "selected.json").read_text())
    steps = {int(p.name) for p in (trained / "checkpoints").iterdir()}
    assert {selected["best_step"], 30} <= steps


def test_meta_training_raises_accuracy_on_unseen_classes(trained):
    results = results_of(trained)
    before, after = (results["intervals"][m]["accuracy"] for m in ("before", "after"))
    assert after["mean"] > before["mean"]
    difference = results["paired_difference_from_before"]["after"]["accuracy"]
    assert difference["mean"] == pytest.approx(after["mean"] - before["mean"])
    assert difference["mean"] - difference["half_width"] > 0
    assert set(worlds.SPLIT["test"]) < set(results["report"])


def test_the_log_has_a_line_for_each_step_with_finite_numbers(trained):
    lines = worlds.read_jsonl(trained / "log.jsonl")
    assert [r["step"] for r in lines if "loss" in r] == list(range(1, 31))
    assert [r["step"] for r in lines if "valid_accuracy" in r] == [0, 15, 30]
    assert all(math.isfinite(x) for record in lines for x in record.values())


@pytest.mark.parametrize(
    "algorithm",
    [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in LEARNERS],
)
def test_algorithms_meta_train_and_meta_test(algorithm, trained_by):
    results = results_of(trained_by(algorithm, **LEARNERS[algorithm]))
    assert (results["steps"], results["episodes"]) == (2, 4)
    for method, metric in itertools.product(("before", "after"), ("accuracy", "loss")):
        assert math.isfinite(results["intervals"][method][metric]["mean"])


@pytest.mark.parametrize(
    "baseline", [n for n, s in ALGORITHMS.items() if s.is_baseline]
)
def test_baselines_are_refused_with_advice(baseline, world, tmp_path, capsys):
    args = world.train_args(tmp_path / "run", algorithm=baseline)
    assert cli.main(args) == 2
    assert "evaluate --baselines" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_finished_run_started_again_prints_the_same_and_changes_nothing(
    world, trained_by, capsys
):
    run_dir = trained_by("protonet")
    kept = ("config.json", "environment.json", "log.jsonl", "selected.json")
    before = {name: (run_dir / name).read_bytes() for name in kept}
    results = results_of(run_dir)
    rates = {"inner_learning_rate": 0.5, "num_steps": 2, "learning_rate": 1e-3}
    worlds.run(*world.train_args(run_dir, algorithm="protonet", **rates))
    assert {name: (run_dir / name).read_bytes() for name in kept} == before
    again = results_of(run_dir)
    assert {**again, "seconds": 0} == {**results, "seconds": 0}
    assert "resuming from step 2" in capsys.readouterr().out


@pytest.mark.slow
def test_shapes_that_vary_compile_a_few_times_and_then_no_more(
    world, tmp_path, monkeypatch, silent
):
    """Way, shot, queries and lengths differ from episode to episode."""
    sizes, shapes, lowered, scorers = [], [], [], []
    make_step, make_scorer = training.make_step, evaluation.scorer
    fit = training.fit

    class Spied:
        """A jitted step that is lowered and compiled, and never called."""

        def __init__(self, *args, **kwargs):
            self._step = make_step(*args, **kwargs)

        def lower(self, state, tasks):
            lowered.append(tuple(x.shape for x in jax.tree.leaves(tasks)))
            return self._step.lower(state, tasks)

    def spied_fit(step, *args, **kwargs):
        def counted(state, draw):
            result = step(state, draw)
            shapes.append(tuple(x.shape for x in jax.tree.leaves(draw.tasks)))
            sizes.append(len(lowered))
            return result

        return fit(counted, *args, **kwargs)

    def spied_scorer(*args, **kwargs):
        scorers.append(make_scorer(*args, **kwargs))
        return scorers[-1]

    monkeypatch.setattr(training, "fit", spied_fit)
    monkeypatch.setattr(training, "make_step", Spied)
    monkeypatch.setattr(evaluation, "scorer", spied_scorer)
    options = {"steps": 60, "eval_every": 30, "learning_rate": 1e-2}
    args = world.train_args(tmp_path / "run", **options)
    chosen = cli.parse([str(arg) for arg in args]).settings
    ranges = config.EpisodeConfig(way=(2, 3), shot=(1, 3), queries=(1, 4))
    chosen = dataclasses.replace(chosen, episodes=ranges)
    workflows.train(chosen, tmp_path / "run", silent)
    assert len(sizes) == 60
    assert sizes[-1] == len(lowered) == len(set(lowered)) <= 6
    assert set(lowered) == set(shapes)
    assert sizes[19] == sizes[59]
    # Validation and meta-test, before and after.
    assert [scorer._cache_size() for scorer in scorers] == [1, 1]


def test_the_best_of_equals_is_the_first_and_its_checkpoint_is_kept(world, tmp_path):
    """A learning rate below the precision leaves all validation scores equal."""
    run_dir = tmp_path / "run"
    options = {"steps": 4, "eval_every": 1, "learning_rate": 1e-30}
    worlds.run(*world.train_args(run_dir, **options))
    assert json.loads((run_dir / "selected.json").read_text())["best_step"] == 0
    assert _trained.load_trained(run_dir)


@pytest.mark.slow
def test_a_run_killed_at_twenty_random_moments_ends_as_one_that_was_not(
    world, tmp_path
):
    """During its start, steps, validations, saving and testing."""
    options = {"steps": 400, "eval_every": 3, "dropout": True, "learning_rate": 1e-3}
    options |= {"patience": 1000}
    runs = [tmp_path / name for name in ("killed", "whole")]
    args = [world.train_args(path, **options) for path in runs]
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "metaflax", *map(str, args[1])], check=True)
    longest = time.perf_counter() - started
    rng, seen = np.random.default_rng(0), set()
    for _ in range(20):
        command = [sys.executable, "-m", "metaflax", *map(str, args[0])]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            try:
                process.wait(rng.uniform(0.1, 0.35) * longest)
            except subprocess.TimeoutExpired:
                process.kill()
        log = runs[0] / "log.jsonl"
        seen.add(len(log.read_text().splitlines()) if log.exists() else 0)
    worlds.run(*args[0])
    assert len(seen) > 5  # It was killed in different places.
    logs = [(path / "log.jsonl").read_text() for path in runs]
    assert logs[0] == logs[1]
    killed, whole = ({**results_of(path), "seconds": 0} for path in runs)
    assert killed == whole
    ends = [latest_state(path) for path in runs]
    chex.assert_trees_all_equal(*ends)


def latest_state(run_dir):
    """All arrays of the last checkpoint."""
    directory = RunDirectory(run_dir)
    run = _run.load_run(directory.config())
    settings = run.config.training
    member = _members.EpisodicMember(run, directory)
    composition = _composition.single(member, settings)
    outer = _outer_loop.OuterLoop(composition, settings, OneDevice())
    checkpoints = training.Checkpoints(run_dir / "checkpoints", read_only=True)
    state, _ = checkpoints.restore(outer.state, checkpoints.steps()[-1])
    checkpoints.close()
    return state._replace(key=jax.random.key_data(state.key))


# Gets a signal when the log has step 4, one step before validation.
ASKED = """
import os, signal, sys
from metaflax import training
from metaflax.cli._main import script

number = int(sys.argv.pop(1))

write = training.JsonlLog.write

def asked(self, record):
    write(self, record)
    if record["step"] == 4 and "loss" in record:
        os.kill(os.getpid(), number)

training.JsonlLog.write = asked
script()
"""


@pytest.mark.parametrize(
    ("number", "messages"),
    [
        pytest.param(
            *(signal.SIGTERM, ["preempted at step 5, which is saved"]),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            signal.SIGINT,
            ["interrupted: ending at", "interrupted at step 5, which is"],
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_run_that_is_asked_to_end_saves_and_goes_on(
    number, messages, world, tmp_path
):
    options = {"steps": 6, "eval_every": 6, "dropout": True, "learning_rate": 1e-2}
    runs = [tmp_path / name for name in ("asked", "whole")]
    args = world.train_args(runs[0], **options)
    command = [sys.executable, "-c", ASKED, str(int(number)), *map(str, args)]
    asked = subprocess.run(command, capture_output=True, text=True)
    assert asked.returncode == 128 + number
    # Steps are logged one late.
    for message, line in zip(messages, asked.stderr.splitlines(), strict=True):
        assert line.startswith(f"metaflax: {message}")
    worlds.run(*args)
    worlds.run(*world.train_args(runs[1], **options))
    logs = [worlds.read_jsonl(path / "log.jsonl") for path in runs]
    assert logs[0] == logs[1]
    params = [_trained.load_trained(path).params for path in runs]
    chex.assert_trees_all_equal(*params)


@pytest.mark.slow
def test_a_hundred_interrupts_at_random_moments_under_load_end_a_run_cleanly(
    world, tmp_path
):
    """During its start, steps, validations, saving and testing.

    Six runs at a time are the load.
    """
    options = {"steps": 60, "eval_every": 3, "dropout": True, "learning_rate": 1e-3}
    options |= {"patience": 1000}

    def args(name):
        return [str(x) for x in world.train_args(tmp_path / name, **options)]

    def interrupted(number, delay):
        """Interrupts a run; returns its exit status and errors."""
        command = [sys.executable, "-m", "metaflax", *args(f"run{number}")]
        run_dir = tmp_path / f"run{number}"
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as run:
            try:
                _, error = run.communicate(timeout=delay)
            except subprocess.TimeoutExpired:
                run.send_signal(signal.SIGINT)
                _, error = run.communicate(timeout=600)
        lost = [*run_dir.rglob(".*.tmp"), *tmp_path.glob(f".run{number}*.tmp")]
        if run.returncode == 0 or number % 20:
            shutil.rmtree(run_dir, ignore_errors=True)
        return number, run.returncode, error, lost

    ends = []
    with ThreadPoolExecutor(6) as pool:
        started = time.perf_counter()
        rounds = pool.map(interrupted, range(6), [600.0] * 6)
        assert all(code == 0 for _, code, _, _ in rounds)
        longest = time.perf_counter() - started
        delays, numbers = np.random.default_rng(0), itertools.count(6)
        while sum(code != 0 for _, code, _, _ in ends) < 100:
            more = [next(numbers) for _ in range(30)]
            ends += pool.map(interrupted, more, delays.uniform(0, longest, 30))
    for _, code, error, lost in ends:
        # Python itself handles the signal during startup and shutdown.
        assert code in (0, 130, -signal.SIGINT), error
        assert "Traceback" not in error
        assert not lost
        if code == 130:
            assert error.splitlines()[-1].startswith("metaflax: interrupted")
    codes = [code for _, code, _, _ in ends]
    assert codes.count(130) > 50
    worlds.run(*args("whole"))
    whole = {**results_of(tmp_path / "whole"), "seconds": 0}
    for number, code, _, _ in ends:
        if code == 130 and number % 20 == 0:
            worlds.run(*args(f"run{number}"))
            assert {**results_of(tmp_path / f"run{number}"), "seconds": 0} == whole


@pytest.mark.parametrize(
    "place", marks.quick(["checkpoint", "log", "results"], ["checkpoint"])
)
def test_a_full_disk_is_one_sentence_and_the_run_goes_on_later(
    place, world, tmp_path, capsys, monkeypatch
):
    options = {"steps": 4, "eval_every": 2, "valid_episodes": 4, "test_episodes": 4}
    args = world.train_args(tmp_path / "run", **options)
    if place == "checkpoint":
        frees = iter([10**9, 10**9, 0])
        usage = shutil.disk_usage
        full = lambda path: usage(path)._replace(free=next(frees))  # noqa: E731
        patched = shutil, "disk_usage", full
    elif place == "log":
        patched = training.JsonlLog, "write", refusing(training.JsonlLog.write, 5)
    else:
        patched = RunDirectory, "write_json", refusing(RunDirectory.write_json, 3)
    with monkeypatch.context() as disk:
        disk.setattr(*patched)
        assert cli.main([str(arg) for arg in args]) == 2
    [sentence] = capsys.readouterr().err.splitlines()
    assert str(tmp_path / "run") in sentence
    assert "No space left on device" in sentence
    assert "ree some space" in sentence
    assert not (tmp_path / "run" / "results.json").exists()
    worlds.run(*args)
    assert (tmp_path / "run" / "results.json").is_file()
    log = worlds.read_jsonl(tmp_path / "run" / "log.jsonl")
    steps = [(record["step"], "loss" in record) for record in log]
    assert len(steps) == len(set(steps)) == 4 + 3


def refusing(function, count):
    """The function, which raises an error of a full disk from its n-th call on."""
    calls = itertools.count(1)

    def refused(*args):
        if next(calls) >= count:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return function(*args)

    return refused


# Kills itself half-way through the log line given by the second argument.
KILLED = """
import os, signal, sys
from metaflax import cli
from metaflax import training

write = training.JsonlLog.write

def killed(self, record):
    if record["step"] == 5 and "loss" in record:
        self._file.write('{"step": 5, "lo')
        self._file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    write(self, record)

training.JsonlLog.write = killed
cli.main(sys.argv[1:])
"""


@pytest.mark.slow
def test_a_killed_run_started_again_ends_as_if_nothing_had_happened(world, tmp_path):
    options = {"steps": 6, "eval_every": 3, "dropout": True, "learning_rate": 1e-2}
    options |= {"valid_episodes": 20, "tasks_per_step": 4}
    runs = [tmp_path / name for name in ("killed", "whole")]
    args = world.train_args(runs[0], **options)
    killed = subprocess.run([sys.executable, "-c", KILLED, *map(str, args)])
    assert killed.returncode == -signal.SIGKILL
    assert not (runs[0] / "results.json").exists()
    assert (runs[0] / "checkpoints" / "0").is_dir()  # At least, and perhaps 3.
    worlds.run(*args)
    worlds.run(*world.train_args(runs[1], **options))

    logs = [worlds.read_jsonl(path / "log.jsonl") for path in runs]
    assert [r["step"] for r in logs[0]] == [0, 1, 2, 3, 3, 4, 5, 6, 6]
    assert logs[0] == logs[1]
    mine, whole = ({**results_of(path), "seconds": 0} for path in runs)
    assert mine == whole
    params = [_trained.load_trained(path)[2] for path in runs]
    chex.assert_trees_all_equal(*params)
    start = _trained.load_trained(runs[1])[1].pretrained.params
    moved = jax.tree.map(
        lambda a, b: bool(np.any(a != b)), params[0]["encoder"], dict(start)
    )
    assert any(jax.tree.leaves(moved))


@pytest.mark.slow
def test_a_damaged_checkpoint_is_refused_in_one_sentence(trained, tmp_path):
    run_dir = tmp_path / "run"
    shutil.copytree(trained, run_dir)
    best = json.loads((run_dir / "selected.json").read_text())["best_step"]
    folder = run_dir / "checkpoints" / str(best)
    [*_, file] = sorted(p for p in (folder / "params").rglob("*") if p.is_file())
    file.write_bytes(file.read_bytes()[:-1])
    command = [sys.executable, "-m", "metaflax", "evaluate", str(run_dir)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    name = file.relative_to(folder)
    assert f"{folder} is damaged: its file {name} is not what" in done.stderr
    assert done.stderr.count("\n") == 1
