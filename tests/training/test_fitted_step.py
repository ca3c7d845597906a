"""Tests for steps compiled by shape and fitted to the memory of a device."""

import chex
import jax
import optax
import pytest

from metaflax import profiling, training
from metaflax.profiling._cost import Cost
from metaflax.profiling._memory import free_memory
from metaflax.training import _fitted_step
from metaflax.training._fitted_step import FittedStep
from tests.training import quadratic

SGD = optax.sgd(0.1)
TASKS = quadratic.tasks(3.0, -1.0, 2.0, 5.0)


def make_step(task_loop):
    return training.make_step(quadratic.ALGORITHM, SGD, task_loop=task_loop)


def fitted(task_loop="vmap", free=None, **kwargs):
    return FittedStep(make_step, task_loop, free_memory=lambda device: free, **kwargs)


@pytest.fixture
def costly(monkeypatch):
    """Pretends that each task at once needs 100 bytes."""
    compile_step = _fitted_step._compile

    def priced(chunks):
        def _compile(step, state, tasks):
            compiled, cost = compile_step(step, state, tasks)
            new = 100 * next(chunks)
            return compiled, cost._replace(temporaries=new, outputs=0, aliased=0)

        return _compile

    monkeypatch.setattr(_fitted_step, "_compile", priced(iter([4, 2, 1])))


def test_each_shape_is_compiled_once_and_told_before_it_runs():
    told = []
    step = fitted("scan", on_compiled=told.append)
    state = quadratic.state(SGD)
    for tasks in (TASKS, quadratic.tasks(1.0, 2.0), TASKS):
        state, _ = step(state, tasks)
    assert [s.shapes["query/targets"] for s in told] == [(4,), (2,)]
    assert [s.rejected for s in told] == [(), ()]
    assert told[0].cost.peak > 0
    assert told[0].available is None


def test_more_shapes_than_there_can_be_are_a_mistake_of_ours():
    step = fitted(max_shapes=1)
    state = quadratic.state(SGD)
    two = jax.tree.map(lambda x: x[:2], TASKS)
    step.compiled(state, TASKS)
    step.compiled(state, TASKS)
    with pytest.raises(AssertionError, match="over 1 shapes"):
        step.compiled(state, two)


def test_it_is_the_plain_step_and_donates_its_state():
    start = quadratic.state(SGD)
    found, metrics = fitted("scan")(start, TASKS)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(start.params))
    expected, expected_metrics = make_step("scan")(quadratic.state(SGD), TASKS)
    chex.assert_trees_all_equal(found.params, expected.params)
    chex.assert_trees_all_equal(metrics, expected_metrics)


@pytest.mark.parametrize(
    ("free", "chunk", "rejected"), [(400, 4, []), (399, 2, [4]), (100, 1, [4, 2])]
)
def test_fewer_tasks_are_taken_at_once_until_they_fit(free, chunk, rejected, costly):
    step = fitted(free=free).compiled(quadratic.state(SGD), TASKS)
    assert step.tasks_at_once == chunk
    assert [number for number, _ in step.rejected] == rejected
    assert step.available == free + step.cost.arguments


@pytest.mark.parametrize("broken", ["cost", "free_memory", "hand_back"])
def test_a_step_whose_cost_is_unknown_is_taken_all_the_same(broken, monkeypatch):
    def fails(*args):
        raise RuntimeError("no analysis")

    measured = free_memory
    if broken == "free_memory":
        measured = fails
    else:
        monkeypatch.setattr(profiling, broken, fails)
    step = FittedStep(make_step, "vmap", free_memory=measured)
    compiled = step.compiled(quadratic.state(SGD), TASKS)
    assert (compiled.cost is None) == (broken == "cost")
    assert (compiled.available is None) == (broken != "hand_back")
    assert compiled.tasks_at_once == 4
    state, _ = step(quadratic.state(SGD), TASKS)
    expected, _ = make_step("vmap")(quadratic.state(SGD), TASKS)
    chex.assert_trees_all_equal(state.params, expected.params)


def test_the_chunk_changes_nothing_but_rounding(costly):
    small, _ = fitted(free=100)(quadratic.state(SGD), TASKS)
    whole, _ = make_step("vmap")(quadratic.state(SGD), TASKS)
    chex.assert_trees_all_close(small.params, whole.params, rtol=1e-6)


def test_where_not_even_one_task_fits_both_sizes_and_remedies_are_told(costly):
    with pytest.raises(ValueError, match="needs .* GiB of memory and the device has"):
        fitted(free=99)(quadratic.state(SGD), TASKS)


def test_a_refusal_is_one_sentence_with_numbers():
    cost = Cost(0, 0, 2**30, 0, 0, 5 * 2**29)
    said = _fitted_step.too_large(cost, 2**30)
    assert "needs 3.5 GiB of memory and the device has 2 for it" in said
    assert "bfloat16" in said
    assert "mixed_mode" in said
    sentence, _, page = said.partition(". See ")
    assert sentence.count(". ") == 0
    assert page == "docs/howto/memory.md."


def test_a_compiler_that_finds_no_room_is_taken_at_its_word(monkeypatch):
    class Lowered:
        def compile(self):
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")

    class Step:
        def lower(self, state, tasks):
            return Lowered()

    with pytest.raises(ValueError, match="needs more memory than the device has"):
        FittedStep(lambda task_loop: Step(), "vmap")(quadratic.state(SGD), TASKS)


@pytest.mark.parametrize("task_loop", [0, "all"])
def test_no_number_of_tasks_is_refused_at_once(task_loop):
    with pytest.raises(ValueError, match="task_loop is"):
        fitted(task_loop)
