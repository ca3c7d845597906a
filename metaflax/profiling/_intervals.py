"""Who is at work when: nested events as intervals, and wall-clock time shared out."""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Interval(NamedTuple, Generic[T]):
    """A stretch of time, in any unit.

    Attributes:
      start: when it begins.
      end: when it ends.
      label: of what goes on.
    """

    start: float
    end: float
    label: T


def innermost(events: Iterable[Interval[T]]) -> Iterator[Interval[T]]:
    """Cuts the nested events of one thread so that each moment has one label.

    Args:
      events: of one thread; of any two, one holds the other or they do not overlap.

    Yields:
      Intervals in order, each with the label of the innermost event: what is left
      to an event is its self time.

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
    """The parts of intervals that lie in any of the windows."""
    for interval, window in itertools.product(intervals, windows):
        start = max(interval.start, window.start)
        end = min(interval.end, window.end)
        if start < end:
            yield Interval(start, end, interval.label)


def shares(intervals: Iterable[Interval[T]]) -> dict[T, float]:
    """The wall-clock time of each label.

    Where several intervals overlap, as those of several threads do, each moment is
    shared evenly among them: the shares add up to the time in which there is any.

    Args:
      intervals: of all threads.

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
        for one in active:
            time[intervals[one].label] += (now - before) / len(active)
        before = now
        if begins:
            active.add(number)
        else:
            active.discard(number)
    return dict(time)
