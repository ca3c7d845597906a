"""Memory: what a device has left, and what this process holds without need."""

import ctypes
import sys
from pathlib import Path
from typing import Any

_CGROUP = Path("/sys/fs/cgroup")


def free_memory(device: Any) -> int | None:
    """Bytes that a device has left; None where nobody can say.

    Of accelerators the backend knows. A CPU has what the machine has available, or
    what the container that the process runs in leaves of it.
    """
    stats = device.memory_stats() or {}
    if "bytes_limit" in stats:
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    if device.platform != "cpu":
        return None
    known = [size for size in (_of_machine(), _of_container(_CGROUP)) if size]
    return min(known, default=None)


def _of_machine(table: Path = Path("/proc/meminfo")) -> int | None:
    if not table.is_file():  # Linux alone has it.
        return None
    for line in table.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    return None


def _of_container(folder: Path) -> int | None:
    limit, used = folder / "memory.max", folder / "memory.current"
    if not (limit.is_file() and used.is_file()):
        return None
    most = limit.read_text().strip()
    if most == "max":
        return None
    return int(most) - int(used.read_text()) + _cached_files(folder / "memory.stat")


def _cached_files(table: Path) -> int:
    """Bytes of files that were read, which make room when memory is asked for."""
    if not table.is_file():
        return 0
    fields = dict(line.split() for line in table.read_text().splitlines())
    return int(fields.get("inactive_file", 0))


def hand_back() -> None:
    """Gives memory that is free in this process back to the operating system.

    The C library keeps what reading weights and compiling a step have freed, often
    some hundred MiB, for allocations that never come: the arrays of a step are larger
    than the pieces. Only glibc can be asked to; elsewhere nothing happens.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
