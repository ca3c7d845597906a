"""Tests for checkpoints: which are kept, and that they are kept to the bit."""

import chex
import jax
import jax.numpy as jnp
import optax
import pytest

from metaflax import training

OPTIMIZER = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(0.1))
PARAMS = {"encoder": {"w": jnp.array([0.1, 0.2])}, "steps": jnp.arange(3)}


def state_at(step, seed=0):
    state = training.create(PARAMS, OPTIMIZER, jax.random.key(seed, impl="rbg"))
    w = PARAMS["encoder"]["w"] * (step + 1) / 3
    params = {**state.params, "encoder": {"w": w}}
    _, opt_state = OPTIMIZER.update(
        {"encoder": {"w": w}, "steps": None}, state.opt_state
    )
    return training.TrainState(jnp.int32(step), params, opt_state, state.key)


@pytest.fixture
def checkpoints(tmp_path):
    opened = training.Checkpoints(tmp_path / "checkpoints")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def falling(tmp_path_factory):
    """A run whose score falls from its second step on."""
    folder = tmp_path_factory.mktemp("run")
    opened = training.Checkpoints(folder)
    stopping = training.Stopping()
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
    assert stopping == training.Stopping(0.9, 1, 3)
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


def test_a_new_run_has_no_checkpoint(checkpoints):
    assert checkpoints.latest_step() is None


def test_what_a_killed_process_left_unfinished_is_ignored(tmp_path, checkpoints):
    checkpoints.save(state_at(1), training.Stopping(0.5, 1, 0), 0.5)
    leftover = tmp_path / "checkpoints" / "2.orbax-checkpoint-tmp"
    (leftover / "params").mkdir(parents=True)
    again = training.Checkpoints(tmp_path / "checkpoints")
    assert again.latest_step() == 1
    again.save(state_at(2), training.Stopping(0.6, 2, 0), 0.6)
    state, stopping = again.restore(state_at(0), 2)
    assert_bit_equal(state, state_at(2))
    assert stopping.best_step == 2
    again.close()
