"""Tests that memory and compiled programs do not grow over thousands of steps."""

import ctypes
import gc
from pathlib import Path

import chex
import jax
import numpy as np
import optax
import pytest

import metaflax
from metaflax import base, data, heads, losses, models, training
from metaflax.training._fitted_step import FittedStep
from tests.compilations import Compilations

NUM_STEPS = 2000
# Steps after which all shapes have been seen and allocators have settled.
WARM_UP = 500
# Tolerance between two measurements of a process in the same state.
NOISE = 6 * 2**20
# Lengths of texts in turn, with a compiled program each.
LENGTHS = (4, 8)
TASKS, TEXTS, WAY = 2, 4, 2
CONFIG = models.BertConfig(
    vocab_size=11,
    hidden_size=8,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=8,
    max_position_embeddings=8,
)
ENCODER = models.encoder(CONFIG)
HEAD = heads.linear(ENCODER.num_features, WAY)
OPTIMIZER = training.outer_optimizer("adamw", 1e-3)


def make_step(task_loop):
    algorithm = metaflax.maml(
        ENCODER.apply,
        losses.softmax_cross_entropy,
        ENCODER.init,
        optax.sgd(0.1),
        head=HEAD,
        num_steps=2,
    )
    return training.make_step(algorithm, OPTIMIZER, task_loop=task_loop)


def batches(start):
    """An endless list of episodes, drawn on the host."""
    while True:
        yield batch(start)
        start += 1


def batch(number):
    rng = np.random.default_rng(number)
    length = LENGTHS[number % len(LENGTHS)]

    def part():
        shape = TASKS, TEXTS, length
        ids = rng.integers(1, CONFIG.vocab_size, shape, np.int32)
        tokens = models.Tokens(ids, None, np.ones(shape, np.int32))
        targets = np.tile(np.arange(TEXTS, dtype=np.int32) % WAY, (TASKS, 1))
        return base.Batch(tokens, targets, np.ones((TASKS, TEXTS), np.float32))

    return base.Task(part(), part())


class Watch:
    """Records arrays, memory and compilations every few steps."""

    def __init__(self, every):
        self._every = every
        self._count = 0
        self._compilations = Compilations()
        self.seen = []

    def close(self):
        self._compilations.close()

    def step(self):
        self._count += 1
        if self._count % self._every == 0:
            gc.collect()
            arrays = len(jax.live_arrays())
            count = self._compilations.count
            self.seen.append((self._count, arrays, resident(), count))

    def settled(self):
        """Live arrays, bytes and compilations, each over time, after warming up."""
        return zip(*[row[1:] for row in self.seen if row[0] >= WARM_UP], strict=True)


def resident():
    """Resident memory of the process in bytes, after releasing freed memory.

    Otherwise reuse of memory that earlier tests freed would show.
    """
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


@pytest.fixture
def watch():
    if not Path("/proc/self/statm").exists():
        pytest.skip("the memory of the process is read as Linux tells it")
    watch = Watch(every=100)
    yield watch
    watch.close()


@pytest.fixture
def start():
    params = {
        "encoder": ENCODER.init(jax.random.key(0)),
        "head": HEAD.init(jax.random.key(1)),
    }
    return training.create(params, OPTIMIZER, jax.random.key(0, impl="rbg"))


def check(watch):
    arrays, memory, compilations = watch.settled()
    # The number of prefetched batches varies by one or two.
    assert max(arrays) - min(arrays) <= 2 * len(jax.tree.leaves(batch(0)))
    assert set(compilations) == {compilations[0]}
    assert compilations[0] >= len(LENGTHS)
    assert memory[-1] - memory[0] < NOISE, memory


@pytest.mark.slow
def test_two_thousand_steps_by_hand_hold_what_a_few_hold(watch, start):
    step, state = FittedStep(make_step, "vmap"), start
    ahead = data.prefetch(batches(0))
    for _ in range(NUM_STEPS):
        state, metrics = step(state, next(ahead))
        watch.step()
    ahead.close()
    check(watch)
    assert int(state.step) == NUM_STEPS
    assert np.isfinite(metrics["loss"])
    chex.assert_tree_all_finite(state.params)


@pytest.mark.slow
def test_two_thousand_steps_of_a_run_hold_what_a_few_hold(watch, start, tmp_path):
    step = FittedStep(make_step, "vmap")
    opened = []

    def watched(state, tasks):
        found = step(state, tasks)
        watch.step()
        return found

    def batches_from(start):
        opened.append(data.prefetch(batches(start)))
        return opened[0]

    checkpoints = training.Checkpoints(tmp_path / "checkpoints")
    log = training.JsonlLog(tmp_path / "log.jsonl")
    try:
        result = training.fit(
            watched,
            start,
            batches_from,
            lambda params: {"accuracy": 0.5},
            checkpoints,
            score="accuracy",
            num_steps=NUM_STEPS,
            eval_every=250,
            sinks=[log],
        )
    finally:
        opened[0].close()
        log.close()
        checkpoints.close()
    check(watch)
    assert result.steps == NUM_STEPS
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == NUM_STEPS + 9
