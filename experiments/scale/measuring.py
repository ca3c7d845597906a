"""Time, rate and memory of this process."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def resident() -> float:
    """Memory of this process, shared pages included, in MiB."""
    return memory("VmRSS")


def most_resident() -> float:
    """Peak of resident memory since the process began, in MiB."""
    return memory("VmHWM")


def memory(kind: str) -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{kind}:")[1].split()[0]) / 1024


def repeated(function: Callable[[int], None], seconds: float) -> tuple[int, float]:
    """Calls a function with 0, 1, ... for some seconds; returns count and seconds."""
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        function(count)
        count += 1
    return count, time.perf_counter() - start


def timed(function: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    return function(), time.perf_counter() - start
