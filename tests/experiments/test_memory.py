"""Tests that the memory experiment runs in miniature, and confirms its claims."""

import functools

import pytest

from tests.experiments import scripts

pytestmark = scripts.marks


@pytest.mark.slow
def test_mixed_mode_that_runs_steps_again_needs_least_and_a_copy_a_step(tmp_path):
    pytest.importorskip("matplotlib")
    script = scripts.load("memory")
    sizes = {"texts": 10, "length": 16, "vocabulary": 50}
    sizes |= {"layers": 2, "width": 16, "heads": 2}
    names = (script.REVERSE, script.REVERSE + script.EACH, script.MIXED + script.EACH)
    # Memory is assigned before LLVM runs, so that its optimizations do not matter.
    options = {"xla_backend_optimization_level": 0}
    measure = functools.partial(script.measure, compiler_options=options)
    eight = script.Setting(**sizes, steps=(8,), rounds=1)
    adapts, rows = measure(eight, names)
    reverse, reverse_again, mixed_again = (row["bytes"] for row in rows)
    assert mixed_again < reverse_again < reverse
    assert max(row["error"] for row in rows) < 1e-5

    _, [row] = measure(script.Setting(**sizes, steps=(4,)), names[2:])
    assert 0 < mixed_again - row["bytes"] <= 1.2 * 4 * adapts

    script.plot(tmp_path / "memory.png", adapts, rows)
    assert (tmp_path / "memory.png").stat().st_size > 5000
    assert len(script.tables(rows).splitlines()) == 2 * (2 + len(names)) + 1
