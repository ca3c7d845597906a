"""Self time of nested events, and wall-clock time shared among threads."""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Interval(NamedTuple, Generic[T]):
    """An interval of time, in any unit.

    Attributes:
      start: time of its start.
      end: time of its end.
      label: name of the activity.
    """

    start: float
    end: float
    label: T


def innermost(events: Iterable[Interval[T]]) -> Iterator[Interval[T]]:
    """Splits the nested events of one thread so that each moment has one label.

    Args:
      events: events of one thread; any two are disjoint, or one contains the other.

    Yields:
      Intervals in order, each with the label of the innermost event, so that those
      of a label add up to its self time.

    Examples:
      >>> loop, body = Interval(0, 9, "loop"), Interval(2, 5, "body")
      >>> [tuple(i) for i in innermost([loop, body])]
      [(0, 2, 'loop'), (2, 5, 'body'), (5, 9, 'loop')]
    """
    open_events: list[Interval[T]] = []
    now = float("-inf")

    def until(time: float) -> Iterator[Interval[T]]:
        nonlocal now
        while open_events and now < time:
            event = open_events[-1]
            end = min(event.end, time)
            if end > now:
                yield Interval(now, end, event.label)
                now = end
            if event.end <= now:
                open_events.pop()
        now = max(now, time)

    for event in sorted(events, key=lambda e: (e.start, -e.end)):
        yield from until(event.start)
        open_events.append(event)
    yield from until(float("inf"))


def clipped(
    intervals: Iterable[Interval[T]], windows: Sequence[Interval]
) -> Iterator[Interval[T]]:
    """Yields the parts of intervals within any of the windows."""
    for interval, window in itertools.product(intervals, windows):
        start = max(interval.start, window.start)
        end = min(interval.end, window.end)
        if start < end:
            yield Interval(start, end, interval.label)


def shares(intervals: Iterable[Interval[T]]) -> dict[T, float]:
    """Computes the wall-clock time of each label.

    Where intervals of several threads overlap, each moment is shared evenly among
    them: the shares add up to the time covered by at least one.

    Args:
      intervals: intervals of all threads.

    Returns:
      Time by label, in the unit of the intervals.

    Examples:
      >>> shares([Interval(0, 4, "a"), Interval(2, 6, "b")])
      {'a': 3.0, 'b': 3.0}
    """
    intervals = list(intervals)
    changes = sorted(
        [(i.start, 1, n) for n, i in enumerate(intervals)]
        + [(i.end, 0, n) for n, i in enumerate(intervals)]
    )
    time: dict[T, float] = defaultdict(float)
    active: set[int] = set()
    before = 0.0
    for now, begins, number in changes:
        for index in active:
            time[intervals[index].label] += (now - before) / len(active)
        before = now
        if begins:
            active.add(number)
        else:
            active.discard(number)
    return dict(time)
