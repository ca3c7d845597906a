"""Execution times of the operations of a program, from a trace that jax wrote.

Accelerators record one event for each operation on a stream. On CPU a thread may start
an operation (a matrix product, say) and submit parts of it to other threads. These
record only the number of the task that they run, as does the thread that submits it;
following the numbers back gives the operation.
"""

import itertools
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax

from metaflax.profiling._intervals import Interval, clipped, innermost, shares

STEP = "metaflax_step"

_NAME = re.compile(r"%?([\w.\-]+)")
_EXECUTOR = "ThunkExecutor::Execute"
_TASK_SUBMITTED = "ThreadpoolListener::Record"
_TASK_BEGINS = "ThreadpoolListener::StartRegion"
_TASK_ENDS = "ThreadpoolListener::StopRegion"


class Trace(NamedTuple):
    """Wall-clock time of the profiled steps, summed over them.

    Attributes:
      seconds: duration of the steps.
      operations: seconds by name of operation. Where several threads or streams run
        at once, each moment is shared evenly among them; the rest of `seconds` is
        idle time.
      counts: number of executions by name of operation.
      steps: number of steps.
    """

    seconds: float
    operations: dict[str, float]
    counts: dict[str, int]
    steps: int


class _Event(NamedTuple):
    name: str
    start: float
    end: float
    stats: dict[str, Any]


class _Task(NamedTuple):
    """Label of a task, whose work counts for the event that submitted it."""

    number: int


def newest_profile(folder: Path) -> Path:
    """Finds the latest trace that jax wrote below a folder."""
    return max(folder.rglob("*.xplane.pb"), key=lambda path: path.stat().st_mtime)


def read_trace(path: Path, module: str, containers: frozenset[str]) -> Trace:
    """Sums the execution times of the operations of some steps.

    Args:
      path: the trace, a `.xplane.pb` file.
      module: name of the program whose operations are counted.
      containers: names of operations, such as loops, that only wait for others.

    Returns:
      A `Trace`.

    Raises:
      ValueError: if the trace has no step, or no operation of the program.
    """
    planes = _planes(path)
    windows = [
        Interval(event.start, event.end, None)
        for lines in planes.values()
        for _, events in lines
        for event in events
        if event.name == STEP
    ]
    lines = _lines_of_operations(planes, module)
    if not windows or not lines:
        raise ValueError(
            f"the profile {path} holds no operation of {module}: this backend reports"
            " none, so that no table can be made; open the profile in a viewer."
        )
    intervals = [i for i in _labelled(lines, module) if i.label not in containers]
    counts = Counter(
        _operation(event, module)
        for events in lines
        for event in events
        if any(w.start <= event.start < w.end for w in windows)
    )
    return Trace(
        seconds=sum(w.end - w.start for w in windows) / 1e9,
        operations={
            name: time / 1e9
            for name, time in shares(clipped(intervals, windows)).items()
        },
        counts={name: count for name, count in counts.items() if name is not None},
        steps=len(windows),
    )


def _planes(path: Path) -> dict[str, list[tuple[str, list[_Event]]]]:
    """Reads the events of each line of each plane of a trace."""
    # jax creates Python types while events are read, which newer versions of Python
    # warn of. Where warnings are errors, it aborts the process instead of raising.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            plane.name: [
                (line.name, [_event(event) for event in line.events])
                for line in plane.lines
            ]
            for plane in jax.profiler.ProfileData.from_file(str(path)).planes
        }


def _event(event: Any) -> _Event:
    start = event.start_ns
    return _Event(event.name, start, start + event.duration_ns, dict(event.stats))


def _operation(event: _Event, module: str) -> str | None:
    """Returns the name of an event's operation; None if it is not in the module."""
    if "hlo_op" in event.stats:
        of = event.stats.get("hlo_module", module)
        return event.stats["hlo_op"] if of == module else None
    if "hlo_category" in event.stats:  # TPUs write all of the operation as the name.
        match = _NAME.match(event.name)
        return match[1] if match else None
    return None


def _lines_of_operations(planes: dict[str, Any], module: str) -> list[list[_Event]]:
    """Lists events by thread or stream of the first device that ran the module."""
    for name in sorted(planes, key=lambda name: (not name.startswith("/device"), name)):
        running = {
            line: events
            for line, events in planes[name]
            if any(_operation(e, module) for e in events)
        }
        if "XLA Ops" in running:  # Some devices have a line that repeats the others.
            return [running["XLA Ops"]]
        if running:
            helpers = [
                events
                for line, events in planes[name]
                if line not in running and any(e.name == _TASK_BEGINS for e in events)
            ]
            return [*running.values(), *helpers]
    return []


def _labelled(lines: list[list[_Event]], module: str) -> Iterator[Interval[str]]:
    """Yields the intervals of operations in each thread, without runtime overhead."""
    cut = [list(innermost(_spans(events, module))) for events in lines]
    owners = _owners(lines, cut)
    for start, end, label in itertools.chain.from_iterable(cut):
        owner = _owner(label, owners)
        if owner is not None:
            yield Interval(start, end, owner)


def _spans(
    events: Iterable[_Event], module: str
) -> Iterator[Interval[str | _Task | None]]:
    """Yields the events of a thread that have a duration and a label."""
    started: tuple[float, int] | None = None
    for event in sorted(events, key=lambda event: event.start):
        if event.name == _TASK_BEGINS:
            started = event.start, event.stats["_c"]
        elif event.name == _TASK_ENDS and started is not None:
            yield Interval(started[0], event.start, _Task(started[1]))
            started = None
        elif event.name == _EXECUTOR:
            yield Interval(event.start, event.end, None)
        elif operation := _operation(event, module):
            yield Interval(event.start, event.end, operation)


def _owners(
    lines: list[list[_Event]], cut: list[list[Interval[str | _Task | None]]]
) -> dict[int, str | _Task | None]:
    """Maps the number of each task to the label of the event that submitted it."""
    owners = {}
    for events, intervals in zip(lines, cut, strict=True):
        at = iter(intervals)
        interval = next(at, None)
        for event in sorted(events, key=lambda event: event.start):
            if event.name != _TASK_SUBMITTED:
                continue
            while interval is not None and interval.end < event.start:
                interval = next(at, None)
            label = None
            if interval is not None and interval.start <= event.start:
                label = interval.label
            owners[event.stats["_p"]] = label
    return owners


def _owner(
    label: str | _Task | None, owners: dict[int, str | _Task | None]
) -> str | None:
    """Follows tasks that were submitted by tasks back to an operation."""
    while isinstance(label, _Task):
        number, label = label.number, owners.get(label.number)
        if isinstance(label, _Task) and label.number >= number:
            return None  # Numbers increase: this one was reused.
    return label
