"""Tests for prefetching batches: order, errors, and end of threads."""

import threading
import time

import jax
import numpy as np
import pytest

from metaflax import data


def same(item):
    return item


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert not [t for t in threading.enumerate() if t.name == "metaflax-prefetch"]


@pytest.mark.parametrize("size", [1, 2, 5])
def test_items_come_whole_and_in_order(size):
    assert list(data.prefetch(range(50), size, transfer=same)) == list(range(50))
    assert list(data.prefetch([], size)) == []
    assert list(data.prefetch([None, 0], size, transfer=same)) == [None, 0]


def test_items_are_on_the_device_by_default():
    [item] = data.prefetch([{"a": np.arange(3)}])
    assert isinstance(item["a"], jax.Array)


class OddError(Exception):
    pass


def failing():
    yield 1
    yield 2
    raise OddError("in the data")


def test_an_error_of_the_source_arrives_after_what_came_before():
    items = data.prefetch(failing(), transfer=same)
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(OddError, match="in the data"):
        next(items)
    with pytest.raises(StopIteration):
        next(items)


def test_an_error_of_the_transfer_arrives_as_it_is():
    with pytest.raises(ZeroDivisionError):
        list(data.prefetch([1, 0], transfer=lambda item: 1 // item))


def counting(made):
    while True:
        made.append(len(made))
        yield made[-1]


def test_no_more_is_made_ahead_than_asked_for():
    made = []
    items = data.prefetch(counting(made), size=2, transfer=same)
    assert made == []  # Nothing starts before the first item is wanted.
    next(items)
    deadline = time.monotonic() + 5
    while len(made) < 3 and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.02)
    assert len(made) == 3
    items.close()


def test_closing_ends_the_thread_at_once():
    items = data.prefetch(counting([]), transfer=same)
    next(items)
    start = time.monotonic()
    items.close()
    assert time.monotonic() - start < 1


def test_leaving_a_loop_early_ends_the_thread():
    for item in data.prefetch(counting([]), transfer=same):
        if item == 3:
            break
    del item


def test_room_for_nothing_is_refused_when_called():
    with pytest.raises(ValueError, match="size=0"):
        data.prefetch([1], size=0)


def test_closing_does_not_wait_for_an_item_that_never_comes():
    arrives = threading.Event()

    def stalled():
        yield 1
        arrives.wait(30)

    items = data.prefetch(stalled(), transfer=same, patience=0)
    next(items)
    start = time.monotonic()
    items.close()
    assert time.monotonic() - start < 5
    arrives.set()  # Ends the thread.
    for thread in threading.enumerate():
        if thread.name == "metaflax-prefetch":
            thread.join()
