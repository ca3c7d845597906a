"""Tests for self times and shares of overlapping intervals."""

from metaflax.profiling._intervals import Interval, clipped, innermost, shares


def test_an_event_has_what_those_inside_of_it_leave():
    events = [
        Interval(0, 10, "loop"),
        Interval(1, 4, "a"),
        Interval(2, 3, "b"),
        Interval(4, 6, "a"),
        Interval(12, 13, "after"),
    ]
    assert [tuple(i) for i in innermost(reversed(events))] == [
        (0, 1, "loop"),
        (1, 2, "a"),
        (2, 3, "b"),
        (3, 4, "a"),
        (4, 6, "a"),
        (6, 10, "loop"),
        (12, 13, "after"),
    ]


def test_shares_add_up_to_the_time_in_which_anything_runs():
    busy = [Interval(0, 6, "a"), Interval(3, 9, "b"), Interval(3, 6, "b")]
    assert shares([*busy, Interval(20, 21, "c")]) == {"a": 4.0, "b": 5.0, "c": 1.0}


def test_what_lies_outside_of_the_windows_is_cut_off():
    windows = [Interval(0, 2, None), Interval(5, 7, None)]
    found = list(clipped([Interval(1, 6, "a"), Interval(3, 4, "b")], windows))
    assert found == [Interval(1, 2, "a"), Interval(5, 6, "a")]
