"""Runs a step at the request of another program; reports its time and memory.

After a line of JSON that says it is ready, the program takes a step for every line
`step` on its input and answers with a line of JSON; any other line ends it.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def serve(step: Callable[[], Any], info: dict[str, Any]) -> None:
    """Answers on standard output until the input ends."""
    print(json.dumps({"ready": 1, **info}), flush=True)
    for line in sys.stdin:
        if line.strip() != "step":
            break
        print(json.dumps(timed(step)), flush=True)


def timed(step: Callable[[], Any]) -> dict[str, float]:
    """Measures a step: wall `dt`, process `cpu`, `other` programs; peak memory."""
    busy, cpu, wall = _busy_seconds(), time.process_time(), time.perf_counter()
    step()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    other = max(0.0, _busy_seconds() - busy - cpu)
    return {"dt": wall, "cpu": cpu, "other": other, "rss_mb": round(peak_mib(), 1)}


def peak_mib() -> float:
    """Peak memory of this process in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _busy_seconds() -> float:
    """CPU-seconds that the whole machine has spent; 0 where unknown."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return 0.0
    spent = [int(x) for x in stat.read_text().split("\n")[0].split()[1:]]
    return (sum(spent) - spent[3] - spent[4]) / os.sysconf("SC_CLK_TCK")
