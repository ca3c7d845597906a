"""Tests that training does not depend on the number of devices or processes."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from metaflax import training
from metaflax.training._mesh import check_tasks, make_mesh
from tests.environment import with_devices

pytestmark = pytest.mark.thorough

# Devices, number of them that share a copy of the parameters, tasks at once on each.
MESHES = {
    "one": (1, 1, "scan"),
    "four, parameters shared": (4, 2, "scan"),
}
MORE_MESHES = {
    "one": (1, 1, "scan"),
    "eight": (8, 1, "scan"),
    "one, all tasks at once": (1, 1, "vmap"),
    "eight, all tasks at once": (8, 2, "vmap"),
}


def start(num_devices, **setting):
    return subprocess.Popen(
        [sys.executable, "-m", "tests.training.spread", json.dumps(setting)],
        env=with_devices(num_devices),
        cwd=Path(__file__).parents[2],
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process):
    _, errors = process.communicate()
    assert process.returncode == 0, errors


def numbers(file):
    """Results by mesh and part of the run."""
    found = {}
    with np.load(file) as content:
        for key in content.files:
            name, part, what = key.split("/", 2)
            found.setdefault(name, {}).setdefault(part, {})[what] = content[key]
    return found


def on_meshes(meshes, folder, **setting):
    out = folder / "numbers.npz"
    num_devices = max(devices for devices, _, _ in meshes.values())
    ended(start(num_devices, out=str(out), meshes=meshes, **setting))
    return numbers(out)


@pytest.fixture(scope="module")
def in_one_process(tmp_path_factory):
    return on_meshes(MESHES, tmp_path_factory.mktemp("devices"), float32=False)


@pytest.fixture(scope="module")
def on_more_meshes(tmp_path_factory):
    return on_meshes(MORE_MESHES, tmp_path_factory.mktemp("more_devices"))


def assert_alike(found, expected, *, first=1e-6, last=1e-9):
    for part, tolerance in (("first", first), ("last", last)):
        if part not in expected:
            continue
        assert set(found[part]) == set(expected[part])
        for name, value in expected[part].items():
            if name.startswith(("losses", "params")):
                np.testing.assert_allclose(
                    found[part][name], value, rtol=0, atol=tolerance, err_msg=name
                )


def assert_several_are_as_one(found, meshes, name):
    alone = "one, all tasks at once" if "at once" in name else "one"
    assert_alike(found[name], found[alone])
    assert np.ptp(found[alone]["last"]["losses"]) > 1e-3  # Something was learned.
    assert found[name]["last"]["tasks_on"] == meshes[name][0]


def test_several_devices_give_the_numbers_of_one(in_one_process):
    """20 steps with dropout in float64."""
    assert_several_are_as_one(in_one_process, MESHES, "four, parameters shared")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["eight", "eight, all tasks at once"])
def test_more_devices_give_the_numbers_of_one(name, on_more_meshes):
    assert_several_are_as_one(on_more_meshes, MORE_MESHES, name)


def test_parameters_that_are_shared_lie_in_parts(in_one_process):
    """Vectors, a large part of a small network, are replicated."""
    share = {name: found["last"]["share"] for name, found in in_one_process.items()}
    assert share["one"] == 1
    assert share["four, parameters shared"] < 0.6


@pytest.mark.slow
def test_parameters_are_shared_with_all_tasks_at_once(on_more_meshes):
    share = {name: found["last"]["share"] for name, found in on_more_meshes.items()}
    assert share["eight"] == 1
    assert share["eight, all tasks at once"] < 0.6


@pytest.mark.slow
def test_two_processes_give_the_numbers_of_one(in_one_process, tmp_path):
    """Each has one device and half of the parameters."""
    out = tmp_path / "numbers.npz"
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    setting = {"out": str(out), "meshes": {"two": (2, 2, "scan")}}
    setting |= {"coordinator": address, "num_processes": 2}
    for process in [start(1, **setting, process_id=n) for n in (0, 1)]:
        ended(process)
    found = numbers(out)["two"]
    assert_alike(found, in_one_process["one"])
    assert found["last"]["share"] < 0.7


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["protonet", pytest.param("fomaml", marks=pytest.mark.slow)]
)
def test_other_algorithms_give_the_numbers_of_one_device(name, tmp_path):
    out = tmp_path / "numbers.npz"
    meshes = {"one": (1, 1, "scan"), "eight": (8, 2, "scan")}
    ended(start(8, out=str(out), meshes=meshes, algorithm=name, num_steps=3))
    found = numbers(out)
    assert_alike(found["eight"], found["one"])


MOVED = """
import sys
from pathlib import Path
import jax, numpy as np, optax
from metaflax import training
from metaflax.training._mesh import make_mesh
from metaflax.training._placement import OneDevice
from metaflax.training._stopping import Stopping

def state():
    params = {"kernel": np.arange(4096.0, dtype=np.float32).reshape(64, 64)}
    return training.create(params, optax.adam(0.1), jax.random.key(5, impl="rbg"))

mesh = make_mesh(4)
for number, places in enumerate(
    [(OneDevice(), training.OverDevices(mesh)),
     (training.OverDevices(mesh), OneDevice())]
):
    saved, like = (place.place(state()) for place in places)
    saved = saved._replace(step=saved.step + 7)
    checkpoints = training.Checkpoints(Path(sys.argv[1], str(number)))
    checkpoints.save(saved, Stopping(0.5, 7, 0), 0.5)
    found, _ = checkpoints.restore(like, 7)
    checkpoints.close()
    for one, two, wanted in zip(*map(jax.tree.leaves, (found, saved, like))):
        assert one.sharding.is_equivalent_to(wanted.sharding, one.ndim)
        if not jax.dtypes.issubdtype(one.dtype, jax.dtypes.prng_key):
            np.testing.assert_array_equal(np.asarray(one), np.asarray(two))
    parts = {x.data.shape for x in found.params["kernel"].addressable_shards}
    assert parts == {(16, 64) if number == 0 else (64, 64)}
"""


def test_a_checkpoint_of_some_devices_is_read_on_others(tmp_path):
    """Saved on one device it is restored on eight, and vice versa."""
    command = [sys.executable, "-c", MOVED, str(tmp_path)]
    done = subprocess.run(
        command, env=with_devices(8), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_tasks_that_cannot_be_shared_are_refused():
    mesh = make_mesh(devices=jax.devices()[:1])
    check_tasks(mesh, 3)
    with pytest.raises(ValueError, match="param_shards is 2, and there are 1 devices"):
        make_mesh(2, jax.devices()[:1])
    with pytest.raises(ValueError, match=r"coordinator.* are \('here:1', None, 0\); "):
        training.initialize_distributed("here:1", None, 0)
    with pytest.raises(ValueError, match="coordinator is 'here'; give an address and"):
        training.initialize_distributed("here", 2, 0)
