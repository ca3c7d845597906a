"""Tests for free memory of a device."""

import resource
import sys
from pathlib import Path

import jax
import pytest

from metaflax.profiling import _memory


class Device:
    def __init__(self, platform, stats):
        self.platform = platform
        self.memory_stats = lambda: stats


@pytest.mark.parametrize(
    ("platform", "stats", "free"),
    [
        ("gpu", {"bytes_limit": 100, "bytes_in_use": 30}, 70),
        ("tpu", {"bytes_limit": 100}, 100),
        ("tpu", None, None),
    ],
)
def test_a_backend_that_knows_is_asked(platform, stats, free):
    assert _memory.free_memory(Device(platform, stats)) == free


def test_a_cpu_has_what_the_machine_and_the_container_leave(tmp_path, monkeypatch):
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.current").write_text("2000\n")
    monkeypatch.setattr(_memory, "_CGROUP", tmp_path)
    monkeypatch.setattr(_memory, "_of_machine", lambda: 4000)
    assert _memory.free_memory(jax.devices("cpu")[0]) == 3000
    (tmp_path / "memory.stat").write_text("file 900\ninactive_file 600\n")
    assert _memory.free_memory(jax.devices("cpu")[0]) == 3600
    (tmp_path / "memory.max").write_text("max\n")
    assert _memory.free_memory(jax.devices("cpu")[0]) == 4000


def test_available_memory_is_read_in_bytes(tmp_path):
    table = tmp_path / "meminfo"
    table.write_text("MemTotal:  9 kB\nMemAvailable:      7 kB\n")
    assert _memory._of_machine(table) == 7 * 1024
    assert _memory._of_machine(tmp_path / "absent") is None


def test_what_was_freed_in_pieces_is_handed_back():
    def held():
        return int(Path("/proc/self/statm").read_text().split()[1])

    if sys.platform != "linux":
        pytest.skip("only Linux says how much a process holds")
    pieces = [b"x" * (60_000 + i) for i in range(2000)]
    pieces = pieces[::100]  # What stays keeps the heap from shrinking by itself.
    before = held()
    _memory.hand_back()
    assert len(pieces) == 20
    assert before - held() > 50 * 2**20 // resource.getpagesize()  # Of 113 MiB.
