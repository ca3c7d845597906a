"""Free memory of a device, and memory that the process can release."""

import ctypes
import sys
from pathlib import Path
from typing import Any

_CGROUP = Path("/sys/fs/cgroup")


def free_memory(device: Any) -> int | None:
    """Returns the free memory of a device in bytes; None if unknown.

    Accelerators report it through the backend. On CPU it is the available memory of
    the machine, or of the container that the process runs in.
    """
    stats = device.memory_stats() or {}
    if "bytes_limit" in stats:
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    if device.platform != "cpu":
        return None
    sizes = [size for size in (_of_machine(), _of_container(_CGROUP)) if size]
    return min(sizes, default=None)


def _of_machine(table: Path = Path("/proc/meminfo")) -> int | None:
    if not table.is_file():  # Only Linux has it.
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
    maximum = limit.read_text().strip()
    if maximum == "max":
        return None
    return int(maximum) - int(used.read_text()) + _cached_files(folder / "memory.stat")


def _cached_files(table: Path) -> int:
    """Returns the bytes of cached files, which the kernel drops on demand."""
    if not table.is_file():
        return 0
    fields = dict(line.split() for line in table.read_text().splitlines())
    return int(fields.get("inactive_file", 0))


def hand_back() -> None:
    """Releases free heap memory of this process to the operating system.

    The C library keeps memory that loading weights and compiling a step have freed,
    often some hundred MiB in pieces too small for the arrays of a step. Only glibc can
    trim its heap; with other libraries nothing happens.

    Examples:
      >>> import pathlib
      >>> from metaflax import profiling
      >>> def resident_pages():
      ...     memory = pathlib.Path("/proc/self/statm")  # Of Linux.
      ...     return int(memory.read_text().split()[1]) if memory.exists() else 0
      >>> pieces = [bytearray(50_000) for _ in range(1_000)]
      >>> before = resident_pages()
      >>> del pieces[1:]
      >>> profiling.hand_back()
      >>> resident_pages() <= before
      True
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
