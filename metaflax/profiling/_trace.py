"""When each operation of a program ran, read from a profile that jax wrote.

Accelerators give one event for each operation on a stream. On CPU a thread may begin
an operation (a matrix product, say) and leave parts of it to other threads: these say
only that they run task number so-and-so, and the thread that handed it out says so
too. Following the numbers back tells whose work it is.
"""

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax

from metaflax.profiling._intervals import Interval, clipped, innermost, shares

STEP = "metaflax_step"

_NAME = re.compile(r"%?([\w.\-]+)")
_EXECUTOR = "ThunkExecutor::Execute"
_HANDED_OUT = "ThreadpoolListener::Record"
_TASK_BEGINS = "ThreadpoolListener::StartRegion"
_TASK_ENDS = "ThreadpoolListener::StopRegion"


class Trace(NamedTuple):
    """Where the wall-clock time of the profiled steps went, all of them together.

    Attributes:
      seconds: from the first moment of each step to its last, added up.
      operations: seconds by name of operation. Where several threads or streams are
        at work, each moment is shared evenly among them; what is left of `seconds`
        is when none was.
      counts: how often each operation began.
      steps: how many steps there were.
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
    """A label: part of the work of whoever handed out a task of that number."""

    number: int


def newest_profile(folder: Path) -> Path:
    """The latest profile that jax wrote below a folder."""
    return max(folder.rglob("*.xplane.pb"), key=lambda path: path.stat().st_mtime)


def read_trace(path: Path, module: str, containers: frozenset[str]) -> Trace:
    """Reads the profile of some steps.

    Args:
      path: of a `.xplane.pb`.
      module: name of the program whose operations are looked for.
      containers: names of operations, such as loops, whose own time is that of no
        operation.

    Returns:
      A `Trace`.

    Raises:
      ValueError: if the profile has no step, or no operation of the program.
    """
    planes = {
        plane.name: [
            (line.name, [_event(e) for e in line.events]) for line in plane.lines
        ]
        for plane in jax.profiler.ProfileData.from_file(str(path)).planes
    }
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
    begun = Counter(
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
        counts={name: count for name, count in begun.items() if name is not None},
        steps=len(windows),
    )


def _event(event: Any) -> _Event:
    start = event.start_ns
    return _Event(event.name, start, start + event.duration_ns, dict(event.stats))


def _operation(event: _Event, module: str) -> str | None:
    """The name of the operation that an event is, None if it is none of the module."""
    if "hlo_op" in event.stats:
        of = event.stats.get("hlo_module", module)
        return event.stats["hlo_op"] if of == module else None
    if "hlo_category" in event.stats:  # TPUs write all of the operation as the name.
        found = _NAME.match(event.name)
        return found[1] if found else None
    return None


def _lines_of_operations(planes: dict[str, Any], module: str) -> list[list[_Event]]:
    """The threads or streams of the first device that ran any of the module."""
    for name in sorted(planes, key=lambda name: (not name.startswith("/device"), name)):
        working = {
            line: events
            for line, events in planes[name]
            if any(_operation(e, module) for e in events)
        }
        if "XLA Ops" in working:  # Some devices have a line that repeats the others.
            return [working["XLA Ops"]]
        if working:
            helping = [
                events
                for line, events in planes[name]
                if line not in working and any(e.name == _TASK_BEGINS for e in events)
            ]
            return [*working.values(), *helping]
    return []


def _labelled(lines: list[list[_Event]], module: str) -> Iterator[Interval[str]]:
    """Which operation each thread works on when; not when the runtime is busy."""
    cut = [list(innermost(_spans(events, module))) for events in lines]
    owners = _owners(lines, cut)
    for start, end, label in itertools.chain.from_iterable(cut):
        owner = _owner(label, owners)
        if owner is not None:
            yield Interval(start, end, owner)


def _spans(
    events: Iterable[_Event], module: str
) -> Iterator[Interval[str | _Task | None]]:
    """The events of a thread that have a length and a meaning."""
    begun: tuple[float, int] | None = None
    for event in sorted(events, key=lambda event: event.start):
        if event.name == _TASK_BEGINS:
            begun = event.start, event.stats["_c"]
        elif event.name == _TASK_ENDS and begun is not None:
            yield Interval(begun[0], event.start, _Task(begun[1]))
            begun = None
        elif event.name == _EXECUTOR:
            yield Interval(event.start, event.end, None)
        elif operation := _operation(event, module):
            yield Interval(event.start, event.end, operation)


def _owners(
    lines: list[list[_Event]], cut: list[list[Interval[str | _Task | None]]]
) -> dict[int, str | _Task | None]:
    """By number of a task, who handed it out."""
    owners = {}
    for events, intervals in zip(lines, cut, strict=True):
        at = iter(intervals)
        interval = next(at, None)
        for event in sorted(events, key=lambda event: event.start):
            if event.name != _HANDED_OUT:
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
    """Follows tasks that were handed out by tasks back to an operation."""
    while isinstance(label, _Task):
        number, label = label.number, owners.get(label.number)
        if isinstance(label, _Task) and label.number >= number:
            return None  # Numbers rise, so that this one was given twice.
    return label
