"""Tests for the outer loop on a quadratic: end, resuming and failure."""

import functools
import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaflax import training
from metaflax.training._stopping import Stopping
from tests.training import quadratic

OPTIMIZER = training.outer_optimizer("adam", 0.1)


@functools.cache
def step_fn():
    return training.make_step(quadratic.ALGORITHM, OPTIMIZER)


def validate(params):
    return {"accuracy": -float(np.sum(params["head"]["bias"])), "loss": 2.0}


class Run:
    """Folder of a run; each `fit` acts as a process that finds earlier files."""

    def __init__(self, folder):
        self.folder = folder

    def fit(self, **kwargs):
        checkpoints = training.Checkpoints(self.folder / "checkpoints")
        latest = checkpoints.latest_step()
        log = training.JsonlLog(self.log, resume_after=latest or 0)
        defaults = {
            "step_fn": step_fn(),
            "state": quadratic.state(OPTIMIZER),
            "tasks_from": quadratic.tasks_from,
            "validate": validate,
            "score": "accuracy",
            "num_steps": 5,
            "eval_every": 2,
            "sinks": [log],
        }
        try:
            return training.fit(checkpoints=checkpoints, **{**defaults, **kwargs})
        finally:
            log.close()
            checkpoints.close()

    @property
    def log(self):
        return self.folder / "log.jsonl"

    def latest(self):
        checkpoints = training.Checkpoints(self.folder / "checkpoints", read_only=True)
        step = checkpoints.latest_step()
        state, _ = checkpoints.restore(quadratic.state(OPTIMIZER), step)
        checkpoints.close()
        return state


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run, and its result."""
    run = Run(tmp_path_factory.mktemp("whole"))
    return run, run.fit()


@pytest.mark.parametrize(
    "step",
    [
        0,
        pytest.param(1, marks=pytest.mark.slow),
        2,
        pytest.param(4, marks=pytest.mark.slow),
    ],
)
def test_a_run_that_was_asked_to_end_is_saved_where_it_is(step, run, whole):
    asked = iter([*[False] * step, True])
    with pytest.raises(
        training.PreemptedError, match=f"at step {step}, which is saved"
    ):
        run.fit(preemption_requested=lambda step: next(asked))
    assert int(run.latest().step) == step
    again, (other, expected) = run.fit(), whole
    chex.assert_trees_all_equal(again, expected)
    assert run.log.read_text() == other.log.read_text()
    chex.assert_trees_all_equal(
        *(
            x._replace(key=jax.random.key_data(x.key))
            for x in (run.latest(), other.latest())
        )
    )


def failing_at(step):
    """The same batches, until the process dies at a step."""

    def tasks_from(start):
        for number, tasks in enumerate(quadratic.tasks_from(start), start + 1):
            if number == step:
                raise KeyboardInterrupt
            yield tasks

    return tasks_from


def no_more_tasks(start):
    pytest.fail(f"a finished run asked for the tasks after step {start}")
    yield


def test_it_validates_before_the_first_step_and_after_the_last(whole):
    run, result = whole
    records = [line.split(",")[0:2] for line in run.log.read_text().splitlines()]
    steps = [(step.split()[-1], name.split('"')[1]) for step, name in records]
    valid, loss = "valid_accuracy", "loss"
    assert steps == [
        ("0", valid),
        ("1", loss),
        ("2", loss),
        ("2", valid),
        ("3", loss),
        ("4", loss),
        ("4", valid),
        ("5", loss),
        ("5", valid),
    ]
    assert (result.steps, result.stopped_early) == (5, False)


def test_steps_are_those_of_a_plain_loop(whole):
    run, _ = whole
    state, tasks = quadratic.state(OPTIMIZER), quadratic.tasks_from(0)
    for _ in range(5):
        state, _ = step_fn()(state, next(tasks))
    chex.assert_trees_all_equal(run.latest().params, state.params)


@pytest.mark.parametrize("dies_at", [2, 4])
def test_an_interrupted_run_ends_as_if_it_had_not_been(run, whole, dies_at):
    with pytest.raises(KeyboardInterrupt):
        run.fit(tasks_from=failing_at(dies_at))
    result = run.fit()
    whole_run, whole_result = whole
    assert run.log.read_text() == whole_run.log.read_text()
    chex.assert_trees_all_equal(result.params, whole_result.params, strict=True)
    assert result[1:] == whole_result[1:]
    last, whole_last = run.latest(), whole_run.latest()
    chex.assert_trees_all_equal(last.params, whole_last.params, strict=True)
    chex.assert_trees_all_equal(last.opt_state, whole_last.opt_state, strict=True)


def scores(*values):
    """A validation that returns these scores in turn."""
    remaining = iter(values)
    return lambda params: {"accuracy": next(remaining)}


def test_patience_ends_a_run_and_the_best_parameters_are_returned(run):
    result = run.fit(validate=scores(0.1, 0.8, 0.7, 0.6), patience=2, num_steps=100)
    assert (result.steps, result.stopped_early) == (6, True)
    assert result.stopping == Stopping(0.8, 2, 2)
    state, tasks = quadratic.state(OPTIMIZER), quadratic.tasks_from(0)
    for _ in range(2):
        state, _ = step_fn()(state, next(tasks))
    chex.assert_trees_all_equal(result.params, state.params)

    again = run.fit(tasks_from=no_more_tasks, patience=2, num_steps=100)
    assert again[1:] == result[1:]
    chex.assert_trees_all_equal(again.params, result.params)


def test_where_no_step_helps_the_initial_parameters_are_the_best(run):
    result = run.fit(validate=scores(0.5, 0.4, 0.3), patience=2)
    chex.assert_trees_all_equal(result.params, quadratic.PARAMS)


def test_a_finished_run_is_read_and_not_continued(whole):
    run, result = whole
    again = run.fit(tasks_from=no_more_tasks)
    assert again[1:] == result[1:]
    chex.assert_trees_all_equal(again.params, result.params)


def poisoned(start):
    """Batches of two tasks, with NaN in the second task of step 4."""
    for number, tasks in enumerate(quadratic.tasks_from(start), start + 1):
        yield quadratic.tasks(1.0, np.nan) if number == 4 else tasks


@pytest.mark.parametrize("eval_every", [2, 3])
def test_a_loss_that_is_not_finite_names_step_and_episode(run, eval_every):
    with pytest.raises(training.DivergedError, match="at step 4, on episode 7; the"):
        run.fit(tasks_from=poisoned, num_steps=9, eval_every=eval_every)
    good = run.latest()
    assert int(good.step) == eval_every
    chex.assert_tree_all_finite(good.params)
    assert "NaN" not in run.log.read_text()


@functools.cache
def skipping():
    return training.make_step(quadratic.ALGORITHM, OPTIMIZER, skips=True)


def test_steps_that_are_not_finite_are_left_out_and_logged(run, tmp_path):
    options = {"step_fn": skipping(), "num_steps": 6, "eval_every": 3}
    run.fit(tasks_from=poisoned, max_skipped_steps=1, **options)
    records = [json.loads(line) for line in run.log.read_text().splitlines()]
    assert [r for r in records if "skipped" in r] == [
        {"step": 4, "skipped": "episode 7"}
    ]
    assert sum("loss" in r for r in records) == 5
    # The run that skipped the step: the fourth step changes only the count.
    state = quadratic.state(OPTIMIZER)
    for number, tasks in enumerate(poisoned(0), 1):
        if number > 6:
            break
        before, (state, _) = state, step_fn()(jax.tree.map(jnp.array, state), tasks)
        if number == 4:
            state = before._replace(step=before.step + 1)
    chex.assert_trees_all_close(run.latest().params, state.params, rtol=1e-6)


def test_a_resumed_run_leaves_out_the_same_steps(run, tmp_path):
    options = {"step_fn": skipping(), "max_skipped_steps": 1, "num_steps": 6}
    asked = iter([*[False] * 4, True])
    with pytest.raises(training.PreemptedError):
        run.fit(
            tasks_from=poisoned,
            preemption_requested=lambda step: next(asked),
            **options,
        )
    run.fit(tasks_from=poisoned, **options)
    other = Run(tmp_path / "other")
    other.fit(tasks_from=poisoned, **options)
    assert run.log.read_text() == other.log.read_text()
    chex.assert_trees_all_equal(run.latest().params, other.latest().params)


def test_more_in_a_row_than_may_be_left_out_end_the_run(run):
    def twice(start):
        for number, tasks in enumerate(quadratic.tasks_from(start), start + 1):
            yield quadratic.tasks(1.0, np.nan) if number in (2, 4, 5) else tasks

    with pytest.raises(
        training.DivergedError, match="at step 5, on episode 9, after 1 more; the last"
    ):
        run.fit(tasks_from=twice, step_fn=skipping(), max_skipped_steps=1, num_steps=9)
    chex.assert_tree_all_finite(run.latest().params)


def test_a_gradient_that_is_not_finite_names_the_batch(run):
    def broken(state, tasks):
        metrics = {"loss": 1.0, "grad_norm": np.inf, "query_losses": np.ones(2)}
        return state._replace(step=state.step + 1), metrics

    with pytest.raises(training.DivergedError, match="gradient of episodes 0 to 1"):
        run.fit(step_fn=broken)
    assert int(run.latest().step) == 0


def test_every_sink_gets_every_record(run):
    class Sink(list):
        write = list.append

        def close(self):
            pass

    first, second = Sink(), Sink()
    run.fit(num_steps=1, sinks=[first, second])
    assert first == second
    assert [sorted(record) for record in first] == [
        ["step", "valid_accuracy", "valid_loss"],
        ["grad_norm", "loss", "step"],
        ["step", "valid_accuracy", "valid_loss"],
    ]
    assert all(not isinstance(v, jax.Array) for r in first for v in r.values())


def test_the_share_of_tasks_whose_inner_steps_diverged_is_logged(run):
    def half_diverged(state, tasks):
        state, metrics = step_fn()(state, tasks)
        return state, {**metrics, "inner_diverged": np.array([False, True])}

    run.fit(num_steps=1)
    run.fit(num_steps=2, step_fn=half_diverged)
    records = [json.loads(line) for line in run.log.read_text().splitlines()]
    assert [r.get("inner_diverged") for r in records if "loss" in r] == [None, 0.5]
