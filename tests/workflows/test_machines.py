"""Tests that processes train together, and that a run survives their death."""

import json
import random
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import chex
import numpy as np
import pytest

from metaflax.workflows.runs import _trained
from tests.environment import with_devices
from tests.experiments import scripts
from tests.workflows import worlds

pytestmark = [scripts.beside_tests, pytest.mark.thorough]

OPTIONS = {"steps": 6, "eval_every": 2, "dropout": True, "learning_rate": 1e-2}
OPTIONS |= {"tasks_per_step": 4, "valid_episodes": 8, "param_shards": 2}
OPTIONS |= {"heartbeat": 3}

LOCAL = Path(__file__).parents[2] / "experiments" / "launch" / "local.sh"

# The process with this index gets a signal before its fifth step, the first time.
STRUCK = """
import os, pathlib, sys, time
import jax
from metaflax import cli
from metaflax.training._fitted_step import FittedStep

call, steps, was = FittedStep.__call__, [], pathlib.Path({was!r})

def struck(self, *args):
    steps.append(len(steps))
    if len(steps) == 5 and jax.process_index() == {number} and not was.exists():
        was.touch()
        os.kill(os.getpid(), {signal})
    time.sleep(0.02)  # Until the others know of it, there are steps to come.
    return call(self, *args)

FittedStep.__call__ = struck
sys.exit(cli.main(sys.argv[1:]))
"""


def launch(args, program=("-m", "metaflax")):
    """Launches two processes, and restarts both when one dies."""
    return subprocess.run(
        [LOCAL, "2", sys.executable, *program, *map(str, args)],
        env=with_devices(1),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def struck(tmp_path, number, by):
    was = str(tmp_path / "was-struck")
    return "-c", STRUCK.format(number=number, was=was, signal=int(by))


@pytest.fixture(scope="module")
def whole(world, tmp_path_factory):
    """An uninterrupted run of two processes."""
    run_dir = tmp_path_factory.mktemp("whole") / "run"
    done = launch(world.train_args(run_dir, **OPTIONS))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("2 devices share the tasks of a step") == 1
    assert done.stdout.count("validation accuracy") == 5  # The first process's alone.
    return run_dir


def results_of(run_dir):
    return {**json.loads((run_dir / "results.json").read_text()), "seconds": 0}


def assert_same_run(run_dir, whole):
    assert (run_dir / "log.jsonl").read_text() == (whole / "log.jsonl").read_text()
    assert results_of(run_dir) == results_of(whole)
    params = [_trained.load_trained(path).params for path in (run_dir, whole)]
    chex.assert_trees_all_equal(*params)


def assert_alike(run_dir, other):
    """Checks that the logs of two runs are equal up to rounding."""
    logs = [worlds.read_jsonl(path / "log.jsonl") for path in (run_dir, other)]
    assert len(logs[0]) == len(logs[1])
    for one, two in zip(*logs, strict=True):
        assert one.keys() == two.keys()
        numbers = [name for name, x in one.items() if not isinstance(x, str)]
        found, expected = ([record[n] for n in numbers] for record in (one, two))
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.thorough
def test_two_processes_train_as_one_does(world, whole, tmp_path):
    worlds.run(*world.train_args(tmp_path / "run", **{**OPTIONS, "param_shards": 1}))
    assert_alike(tmp_path / "run", whole)


MIXTURE = """
from metaflax.config import *
sizes = {{"max_length": 48, "split_file": {split!r}}}
config = MixtureConfig(
    ModelConfig({model!r}),
    {{
        "topics": TaskMember(DataConfig({data!r}, **sizes), EpisodeConfig(3, 2, 3)),
        "masked": TextMember(RawTextConfig({data!r}, length=24, held_out=0.2),
                             rows_per_step=8, rows_at_once=2, valid_rows=8),
    }},
    training=TrainingConfig(steps=4, tasks_per_step=2, eval_every=2, valid_episodes=4),
    evaluation=EvaluationConfig(test_episodes=4, batch_episodes=4),
)
"""


@pytest.mark.slow  # A minute; what shares the tasks out is that of one kind of task.
def test_two_processes_train_a_mixture_as_one_does(world, tmp_path):
    file = tmp_path / "mixture.py"
    paths = {"model": world.model, "data": world.data, "split": world.split}
    file.write_text(MIXTURE.format(**{name: str(x) for name, x in paths.items()}))
    args = ["mix", "--config", file]
    done = launch([*args, "--run-dir", tmp_path / "two", "--param-shards", "2"])
    assert done.returncode == 0, done.stderr
    worlds.run(*args, "--run-dir", tmp_path / "one")
    assert_alike(tmp_path / "two", tmp_path / "one")
    worlds.run("evaluate", tmp_path / "two" / "members" / "topics")
    # The member of raw text has written a model that pretraining can continue from.
    model = tmp_path / "two" / "members" / "masked" / "model"
    pretrain = ["pretrain", "--text", world.data, "--model", model, "--length", "24"]
    pretrain += worlds.arguments(
        {"steps": 2, "eval_every": 1, "rows_per_step": 8, "rows_at_once": 2}
    )
    done = launch([*pretrain, "--run-dir", tmp_path / "on"])
    assert done.returncode == 0, done.stderr
    worlds.run(*pretrain, "--run-dir", tmp_path / "on-alone")
    assert_alike(tmp_path / "on", tmp_path / "on-alone")


@pytest.mark.parametrize(
    "number", [pytest.param(n, marks=pytest.mark.slow) for n in (0, 1)]
)
def test_all_start_again_when_one_is_killed_and_nothing_is_lost(
    number, world, whole, tmp_path
):
    """The first is the coordinator too."""
    args = world.train_args(tmp_path / "run", **OPTIONS)
    done = launch(args, struck(tmp_path, number, signal.SIGKILL))
    assert done.returncode == 0, done.stderr
    assert "all start again" in done.stderr
    assert re.search("resuming from step [24]", done.stdout)
    assert_same_run(tmp_path / "run", whole)


@pytest.mark.slow
def test_all_save_when_one_is_asked_to_end_and_one_alone_goes_on(world, tmp_path):
    options = {**OPTIONS, "steps": 200, "eval_every": 200, "learning_rate": 1e-4}
    args = world.train_args(tmp_path / "run", **options)
    done = launch(args, struck(tmp_path, 1, signal.SIGTERM))
    assert done.returncode == 128 + signal.SIGTERM, done.stderr
    found = re.search(r"preempted at step (\d+), which is saved", done.stderr)
    assert found is not None
    assert (tmp_path / "run" / "checkpoints" / found[1]).is_dir()
    alone = {**options, "param_shards": 1}
    worlds.run(*world.train_args(tmp_path / "run", **alone))
    worlds.run(*world.train_args(tmp_path / "alone", **alone))
    assert_alike(tmp_path / "run", tmp_path / "alone")


@pytest.mark.slow
def test_tasks_that_devices_cannot_share_are_refused(world, tmp_path):
    args = world.train_args(tmp_path / "run", **{**OPTIONS, "tasks_per_step": 3})
    done = launch(args)
    assert done.returncode == 2, done.stderr
    assert "3 tasks a step cannot be shared by 2 devices" in done.stderr
    assert not (tmp_path / "run").exists()


# Prints the processes after the command.
COUNTED = """
import sys
import jax
from metaflax import cli

status = cli.main(sys.argv[1:])
print(
    f"process {jax.process_index()} of {jax.process_count()},"
    f" {jax.local_device_count()} of {jax.device_count()} devices"
)
sys.exit(status)
"""


@pytest.mark.slow
def test_processes_find_each_other_by_variables_of_slurm(world, tmp_path):
    """As under `srun`, which sets these variables."""
    with socket.socket() as free:
        while True:  # The port is made of the job's number.
            job = random.randrange(2**12)
            try:
                free.bind(("localhost", job + 2**16 - 2**12))
                break
            except OSError:
                continue
    args = world.train_args(tmp_path / "run", **{**OPTIONS, "steps": 1})
    variables = {"SLURM_JOB_ID": job, "SLURM_STEP_NODELIST": "localhost"}
    variables |= {"SLURM_NTASKS": 2, "SLURM_STEP_NUM_NODES": 1}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", COUNTED, *map(str, args), "--distributed"],
            env=with_devices(1)
            | {name: str(value) for name, value in variables.items()}
            | {"SLURM_PROCID": str(number), "SLURM_LOCALID": str(number)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in (0, 1)
    ]
    outputs = [process.communicate(timeout=240)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    for number, output in enumerate(outputs):
        assert f"process {number} of 2, 1 of 2 devices" in output
    # Each process has one device, so that the following holds only for a joint run.
    shared = "2 devices share the tasks of a step"
    assert [output.count(shared) for output in outputs] == [1, 0]
    environment = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert len(environment["devices"]) == 2
    assert results_of(tmp_path / "run")["steps"] == 1
