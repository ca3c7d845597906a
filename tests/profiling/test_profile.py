"""Tests for the profile of a step with known parts."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaflax import profiling
from metaflax.profiling import _trace
from metaflax.profiling._profile import HostTimes

LOOPS, SIZE = 6, 400


def step(state, batch):
    """Large matrix products in a loop, and an elementwise update."""

    def body(x, _):
        with jax.named_scope("mlp"):
            return jnp.tanh(x @ state), None

    x, _ = jax.lax.scan(body, batch, None, length=LOOPS)
    with jax.named_scope("outer_optimizer"):
        return state - 0.1 * (x.T @ x), {"loss": jnp.mean(x)}


@pytest.fixture(scope="module")
def state():
    return jax.device_put(jnp.full((SIZE, SIZE), 1e-3), jax.devices()[0])


@pytest.fixture(scope="module")
def profile(state, tmp_path_factory):
    batch = np.ones((SIZE, SIZE), np.float32)
    executable = jax.jit(step, donate_argnums=0).lower(state, batch).compile()
    batches = itertools.cycle([batch, batch[:1]])  # The second is skipped.
    folder = tmp_path_factory.mktemp("profile")
    return profiling.profile(executable, state, batches, folder)


def test_rows_and_idleness_add_up_to_the_step(profile):
    total = sum(row.ms for row in profile.rows) + profile.idle_ms
    assert total == pytest.approx(profile.profiled_ms)
    assert profile.idle_ms >= 0


def test_a_profiled_step_takes_about_as_long_as_one_that_is_not(profile):
    """Within a factor of three, on a shared machine."""
    assert 1 / 3 < profile.profiled_ms / profile.step_ms < 3


def test_time_and_arithmetic_are_where_the_step_does_them(profile):
    found = {
        part: [row for row in profile.rows if row.part == part]
        for part in ("mlp", "outer optimizer")
    }
    flops = {part: sum(row.flops for row in rows) for part, rows in found.items()}
    assert flops == {"mlp": LOOPS * 2 * SIZE**3, "outer optimizer": 2 * SIZE**3}
    assert profile.rows[0].part == "mlp"  # The longest.
    [products] = [row for row in found["mlp"] if row.kind == "matrix product"]
    assert products.calls == LOOPS


def test_the_state_is_not_donated_and_the_trace_is_kept(profile, state):
    assert not state.is_deleted()
    assert profile.trace.is_file()
    assert list(profile.trace.parent.glob("*.trace.json.gz"))  # For trace viewers.
    record = profile.record()
    assert record["steps"] == 3
    assert record["host"]["waiting_ms"] >= 0


def test_a_profile_without_the_program_is_refused(profile):
    with pytest.raises(ValueError, match="no operation of jit_other"):
        _trace.read_trace(profile.trace, "jit_other", frozenset())


def test_a_batch_that_takes_longer_than_a_step_is_waited_for():
    host = HostTimes(making_ms=7.0, transfer_ms=2.0)
    assert (host.waiting_ms(5.0), host.waiting_ms(50.0)) == (4.0, 0.0)


class Event:
    def __init__(self, name, start, end, **stats):
        self.name, self.start_ns, self.duration_ns = name, start, end - start
        self.stats = stats.items()


class Line:
    def __init__(self, name, *events):
        self.name, self.events = name, events


class Plane:
    def __init__(self, name, *lines):
        self.name, self.lines = name, lines


@pytest.fixture
def traced(monkeypatch):
    def read(*planes):
        class Data:
            @staticmethod
            def from_file(path):
                data = Data()
                data.planes = planes
                return data

        monkeypatch.setattr(jax.profiler, "ProfileData", Data)
        return _trace.read_trace("fake", "jit_step", frozenset({"while.1"}))

    return read


def op(name, start, end):
    return Event(name, start, end, hlo_op=name, hlo_module="jit_step")


def test_work_that_an_operation_hands_to_other_threads_is_its_own(traced):
    """From 2 to 8 the second thread computes part of the product, and submits more."""
    host = Plane(
        "/host:CPU",
        Line("python", Event(_trace.STEP, 0, 20)),
        Line(
            "one",
            op("while.1", 0, 20),
            op("dot.1", 1, 4),
            Event("ThreadpoolListener::Record", 2, 2, _p=7),
            op("add.1", 4, 6),
            Event("ThreadpoolListener::StartRegion", 9, 9, _c=8),
            Event("ThreadpoolListener::StopRegion", 10, 10),
        ),
        Line(
            "two",
            Event("ThreadpoolListener::StartRegion", 2, 2, _c=7),
            Event("ThreadpoolListener::Record", 5, 5, _p=8),
            Event("ThreadpoolListener::StopRegion", 8, 8),
        ),
    )
    found = traced(host)
    # 1 to 4 alone or with itself, 4 to 6 with the sum, 6 to 8 and 9 to 10 alone.
    seconds = {name: round(1e9 * time, 6) for name, time in found.operations.items()}
    assert seconds == {"dot.1": 3 + 1 + 2 + 1, "add.1": 1}
    assert found.counts == {"while.1": 1, "dot.1": 1, "add.1": 1}
    assert (found.seconds, found.steps) == (pytest.approx(20e-9), 1)


def test_streams_of_a_device_are_read_and_not_the_host(traced):
    host = Plane("/host:CPU", Line("python", Event(_trace.STEP, 0, 20)))
    gpu = Plane(
        "/device:GPU:0",
        Line("Stream #1", op("fusion.1", 2, 6)),
        Line("Stream #2", op("copy.1", 4, 8)),
    )
    found = traced(host, gpu).operations
    assert {k: round(1e9 * v, 6) for k, v in found.items()} == {
        "fusion.1": 3,
        "copy.1": 3,
    }


def test_operations_that_a_device_writes_in_full_are_known_by_name(traced):
    text = "%fusion.1 = f32[8]{0} fusion(%p.1), kind=kLoop"
    tpu = Plane(
        "/device:TPU:0",
        Line("Steps", Event("1", 0, 20)),
        Line("XLA Ops", Event(text, 2, 6, hlo_category="loop fusion")),
    )
    host = Plane("/host:CPU", Line("python", Event(_trace.STEP, 0, 20)))
    assert list(traced(host, tpu).operations) == ["fusion.1"]
