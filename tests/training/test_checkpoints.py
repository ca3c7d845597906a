"""Tests for checkpoints: retention, exact restoring and damage."""

import gc
import random
import resource
import shutil
import threading
import time

import chex
import jax
import jax.numpy as jnp
import optax
import orbax.checkpoint as ocp
import pytest

from metaflax import training
from metaflax.training._checkpoints import DamagedError
from metaflax.training._state import TrainState
from metaflax.training._stopping import Stopping

OPTIMIZER = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(0.1))
PARAMS = {"encoder": {"w": jnp.array([0.1, 0.2])}, "steps": jnp.arange(3)}


def state_at(step, seed=0):
    state = training.create(PARAMS, OPTIMIZER, jax.random.key(seed, impl="rbg"))
    w = PARAMS["encoder"]["w"] * (step + 1) / 3
    params = {**state.params, "encoder": {"w": w}}
    _, opt_state = OPTIMIZER.update(
        {"encoder": {"w": w}, "steps": None}, state.opt_state
    )
    return TrainState(jnp.int32(step), params, opt_state, state.key)


@pytest.fixture
def checkpoints(tmp_path):
    opened = training.Checkpoints(tmp_path / "checkpoints")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def falling(tmp_path_factory):
    """Checkpoints of a run whose score decreases from the second step on."""
    folder = tmp_path_factory.mktemp("run")
    opened = training.Checkpoints(folder)
    stopping = Stopping()
    for step, score in enumerate([0.3, 0.9, 0.5, 0.4, 0.2]):
        stopping = stopping.update(score, step)
        opened.save(state_at(step), stopping, score)
    opened.close()
    return folder


def steps_in(folder):
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit())


def assert_bit_equal(left, right):
    def raw(state):
        return state._replace(key=jax.random.key_data(state.key))

    chex.assert_trees_all_equal(raw(left), raw(right), strict=True)
    chex.assert_trees_all_equal_structs(left, right)
    assert left.key.dtype == right.key.dtype


def test_the_two_latest_and_the_best_are_kept_while_the_score_falls(falling):
    assert steps_in(falling) == [1, 3, 4]


def test_a_restored_state_is_the_saved_one_to_the_bit(falling):
    opened = training.Checkpoints(falling, read_only=True)
    like = state_at(0, seed=5)
    for step in (1, 4):
        state, _ = opened.restore(like, step)
        assert_bit_equal(state, state_at(step))
        chex.assert_trees_all_equal(
            jax.random.normal(state.key), jax.random.normal(state_at(0).key)
        )
    _, stopping = opened.restore(like, 4)
    assert stopping == Stopping(0.9, 1, 3)
    opened.close()


def test_parameters_are_read_alone(falling):
    opened = training.Checkpoints(falling, read_only=True)
    params = opened.read_params(PARAMS, 3)
    chex.assert_trees_all_equal(params, state_at(3).params, strict=True)
    opened.close()


def test_reading_leaves_the_folder_as_it_is(falling):
    (falling / "9.orbax-checkpoint-tmp").mkdir()
    before = sorted(falling.rglob("*"))
    opened = training.Checkpoints(falling, read_only=True)
    assert opened.latest_step() == 4
    opened.close()
    assert sorted(falling.rglob("*")) == before


def test_training_goes_on_while_a_checkpoint_is_written(checkpoints, monkeypatch):
    may_write, write = threading.Event(), checkpoints._manager.save

    def waits(*args, **kwargs):
        assert may_write.wait(60)
        return write(*args, **kwargs)

    monkeypatch.setattr(checkpoints._manager, "save", waits)
    state = state_at(1)
    expected = jax.tree.map(jnp.copy, state)
    checkpoints.save(state, Stopping(0.5, 1, 0), 0.5)
    state.params["encoder"]["w"].delete()  # As the next step does by donation.
    may_write.set()
    restored, _ = checkpoints.restore(expected, checkpoints.latest_step())
    assert_bit_equal(restored, expected)


def test_a_state_is_copied_where_processes_save_together(checkpoints, monkeypatch):
    monkeypatch.setattr(checkpoints, "_thread", None)  # As with several processes.
    given = []
    monkeypatch.setattr(checkpoints, "_save", lambda state, *_: given.append(state))
    monkeypatch.setattr(checkpoints, "_finish", lambda step: None)
    state = state_at(1)
    checkpoints.save(state, Stopping(0.5, 1, 0), 0.5)
    kept, copied = (each.params["encoder"]["w"] for each in (state, *given))
    # A copy, which is not affected by the donation of the state to the next step.
    assert kept.unsafe_buffer_pointer() != copied.unsafe_buffer_pointer()
    assert kept.tolist() == copied.tolist()


def test_checkpoints_that_were_compressed_are_read(tmp_path, monkeypatch):
    handler = ocp.PyTreeCheckpointHandler
    with monkeypatch.context() as earlier:
        earlier.setattr(
            ocp, "PyTreeCheckpointHandler", lambda use_compression: handler()
        )
        opened = training.Checkpoints(tmp_path)
        opened.save(state_at(2), Stopping(0.5, 2, 0), 0.5)
        opened.close()
    opened = training.Checkpoints(tmp_path)
    restored, _ = opened.restore(state_at(0), 2)
    assert_bit_equal(restored, state_at(2))
    opened.close()


def test_a_new_run_has_no_checkpoint(checkpoints):
    assert checkpoints.latest_step() is None


def test_parameters_that_are_one_array_are_refused_before_anything_is_written(
    tmp_path, checkpoints
):
    state = training.create(jnp.ones(3), OPTIMIZER, jax.random.key(0))
    with pytest.raises(ValueError, match=r"one array.*put it in a dictionary"):
        checkpoints.save(state, Stopping(), 0.5)
    assert not list((tmp_path / "checkpoints").iterdir())


def test_what_a_killed_process_left_unfinished_is_ignored(tmp_path, checkpoints):
    checkpoints.save(state_at(1), Stopping(0.5, 1, 0), 0.5)
    checkpoints.wait()
    leftover = tmp_path / "checkpoints" / "2.orbax-checkpoint-tmp"
    (leftover / "params").mkdir(parents=True)
    again = training.Checkpoints(tmp_path / "checkpoints")
    assert again.latest_step() == 1
    again.save(state_at(2), Stopping(0.6, 2, 0), 0.6)
    state, stopping = again.restore(state_at(0), 2)
    assert_bit_equal(state, state_at(2))
    assert stopping.best_step == 2
    again.close()


def test_a_checkpoint_of_other_arrays_is_refused_with_the_difference(falling):
    opened = training.Checkpoints(falling, read_only=True)
    wide = {"encoder": {"w": jnp.zeros(3)}, "steps": jnp.arange(3)}
    with pytest.raises(
        ValueError,
        match=r"/3 holds other arrays: encoder/w is float32\[2\], not .*\[3\]$",
    ):
        opened.read_params(wide, 3)
    fewer = {"encoder": PARAMS["encoder"]}
    with pytest.raises(ValueError, match=r"steps is int32\[3\], not absent"):
        opened.read_params(fewer, 3)
    other = training.create(PARAMS, optax.sgd(0.1), jax.random.key(0, impl="rbg"))
    with pytest.raises(ValueError, match=r"count is int32\[\], not absent; .*w is f"):
        opened.quarantine_damaged(other, print)
    opened.close()
    assert steps_in(falling) == [1, 3, 4]


@pytest.mark.parametrize("fault", [MemoryError, PermissionError])
def test_faults_of_the_machine_set_no_checkpoint_aside(fault, falling, monkeypatch):
    opened = training.Checkpoints(falling)

    def fails(step, args):
        raise fault

    monkeypatch.setattr(opened._manager, "restore", fails)
    with pytest.raises(fault):
        opened.quarantine_damaged(state_at(0), print)
    opened.close()
    assert steps_in(falling) == [1, 3, 4]


# Orbax leaves unfinished reads and writes behind.
DAMAGES = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::RuntimeWarning"
)


@pytest.fixture
def collected():
    """Collects garbage within the test."""
    yield
    gc.collect()


def _wait_for_writers(folder):
    """Removes unfinished files until no thread of Orbax adds more."""
    while unfinished := [*folder.glob("*tmp*")]:
        for path in unfinished:
            shutil.rmtree(path, ignore_errors=True)
        time.sleep(0.2)


@DAMAGES
@pytest.mark.usefixtures("collected")
def test_a_full_disk_leaves_older_checkpoints_whole(tmp_path, checkpoints):
    stopping = Stopping(0.5, 1, 0)
    checkpoints.save(state_at(1), stopping, 0.5)
    checkpoints.wait()
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, unlimited[1]))
    try:
        with (  # noqa: PT012 - as it is being written, or when it is waited for
            pytest.raises(ValueError, match=r"checkpoints/2 could not be written .*")
        ):
            checkpoints.save(state_at(2), stopping, 0.4)
            checkpoints.wait()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    _wait_for_writers(tmp_path / "checkpoints")
    again = training.Checkpoints(tmp_path / "checkpoints")
    assert again.quarantine_damaged(state_at(0), print) == 1
    again.save(state_at(2), stopping, 0.4)
    assert_bit_equal(again.restore(state_at(0), 2)[0], state_at(2))
    again.close()


def test_what_the_disk_has_no_space_for_is_not_begun(
    tmp_path, checkpoints, monkeypatch
):
    stopping = Stopping(0.5, 1, 0)
    checkpoints.save(state_at(1), stopping, 0.5)
    checkpoints.wait()
    with monkeypatch.context() as disk:
        usage = shutil.disk_usage(tmp_path)._replace(free=20)
        disk.setattr(shutil, "disk_usage", lambda path: usage)
        with pytest.raises(ValueError, match=r"checkpoints/2 could not .* \(No space"):
            checkpoints.save(state_at(2), stopping, 0.4)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["1"]
    checkpoints.save(state_at(2), stopping, 0.4)
    assert_bit_equal(checkpoints.restore(state_at(0), 2)[0], state_at(2))


def damage(path, rng, how):
    content = bytearray(path.read_bytes())
    if how == "bit" and content:
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    if how == "cut":
        content = content[: rng.randrange(len(content) + 1)]
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(bytes(content))


@DAMAGES
@pytest.mark.usefixtures("collected")
@pytest.mark.parametrize(
    ("steps", "left"), [([4], 3), ([4, 3], 1), ([1], None), ([4, 3, 1], None), ([], 4)]
)
def test_what_is_damaged_is_set_aside_for_an_older_one(steps, left, falling, tmp_path):
    folder = tmp_path / "checkpoints"
    shutil.copytree(falling, folder)
    for step in steps:
        damage(folder / str(step) / "record" / "metadata", random.Random(0), "bit")
    opened = training.Checkpoints(folder)
    told = []
    assert opened.quarantine_damaged(state_at(0), told.append) == left
    assert opened.latest_step() == left
    # Without its best checkpoint a run could not return a result.
    expected = [4, 3, 1] if left is None else [n for n in (4, 3) if n > left]
    assert len(told) == len(expected)
    for step, sentence in zip(expected, told, strict=True):
        assert (
            f"checkpoints/{steps[0] if steps == [1] else step} is damaged" in sentence
        )
        assert "it is ignored, and was moved to" in sentence
        assert any(tmp_path.glob(f"damaged/{step}-*/params"))
    opened.save(state_at(5), Stopping(1.0, 5, 0), 1.0)
    assert opened.latest_step() == 5
    opened.close()


@DAMAGES
@pytest.mark.usefixtures("collected")
@pytest.mark.parametrize(
    ("seed", "cases"), [(0, 15), pytest.param(1, 300, marks=pytest.mark.slow)]
)
def test_damage_anywhere_is_found_or_does_no_harm(seed, cases, falling, tmp_path):
    """Single bits, truncated files and missing files, in all checkpoints."""
    rng = random.Random(seed)
    names = [p.relative_to(falling) for p in sorted(falling.rglob("*")) if p.is_file()]
    scores = [0.3, 0.9, 0.5, 0.4, 0.2]
    found = set()
    for number in range(cases):
        folder = tmp_path / str(number)
        shutil.copytree(falling, folder / "checkpoints")
        how = rng.choice(["bit", "cut", "gone"])
        damage(folder / "checkpoints" / rng.choice(names), rng, how)
        opened = training.Checkpoints(folder / "checkpoints")
        told = []
        step = opened.quarantine_damaged(state_at(0, seed=5), told.append)
        if step is not None:
            state, stopping = opened.restore(state_at(0, seed=5), step)
            assert_bit_equal(state, state_at(step))
            expected = Stopping()
            for validated in range(step + 1):
                expected = expected.update(scores[validated], validated)
            assert stopping == expected
            best = opened.read_params(PARAMS, stopping.best_step)
            chex.assert_trees_all_equal(best, state_at(1).params, strict=True)
        found.add((how, step))
        opened.close()
        shutil.rmtree(folder)
    # All outcomes occur: no loss, an older checkpoint, or none. Orbax names files at
    # random, so that a few cases may not have all three.
    steps = {step for _, step in found}
    assert steps <= {4, 3, None}
    assert cases < 100 or steps == {4, 3, None}


def test_a_damaged_file_is_found_before_anything_is_read(
    falling, tmp_path, monkeypatch
):
    folder = tmp_path / "checkpoints"
    shutil.copytree(falling, folder)
    names = [p for p in sorted((folder / "4").rglob("*")) if p.is_file()]
    assert len(names) > 5
    for path in names:
        whole = path.read_bytes()
        damage(path, random.Random(0), "bit")
        opened = training.Checkpoints(folder, read_only=True)
        monkeypatch.setattr(opened._manager, "restore", None)
        with pytest.raises(DamagedError, match="checkpoints/4 is damaged"):
            opened.restore(state_at(0), 4)
        opened.close()
        path.write_bytes(whole)
    (folder / "4" / "files.json").unlink()  # As after a killed process.
    opened = training.Checkpoints(folder, read_only=True)
    assert_bit_equal(opened.restore(state_at(0), 4)[0], state_at(4))
    opened.close()
