"""Tests that preemption requests are never lost, and never an exception."""

import signal
import sys
import threading

import pytest

from metaflax import training
from metaflax.training._preemption import preemption_requested

NUMBERS = [signal.SIGINT, signal.SIGTERM]


@pytest.fixture
def passed_on():
    """Collects signals that are not taken as a request."""
    numbers = []
    before = {
        number: signal.signal(number, lambda number, _: numbers.append(number))
        for number in NUMBERS
    }
    yield numbers
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_is_a_request_until_it_is_asked_for(number, passed_on):
    before = [signal.getsignal(number) for number in NUMBERS]
    with preemption_requested() as requested:
        assert requested(0) == 0
        signal.raise_signal(number)
        assert requested(1) == number
    assert not passed_on
    assert [signal.getsignal(number) for number in NUMBERS] == before


@pytest.mark.parametrize("number", NUMBERS)
def test_a_request_that_came_after_the_last_step_is_not_lost(number, passed_on):
    with preemption_requested() as requested:
        assert requested(0) == 0
        signal.raise_signal(number)
        assert not passed_on
    assert passed_on == [number]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_while_requests_are_read_is_not_lost(number, passed_on):
    """At each bytecode operation of reading them."""

    def read_while_it_arrives_at(place):
        """Returns the numbers of two readings, and whether the operation exists."""
        count = -1

        def trace(frame, event, argument):
            nonlocal count
            frame.f_trace_opcodes = True
            if event == "opcode":
                count += 1
                if count == place:
                    signal.raise_signal(number)
            return trace

        with preemption_requested() as requested:
            before = sys.gettrace()
            sys.settrace(trace)
            try:
                first = requested(0)
            finally:
                sys.settrace(before)
            return [first, requested(1)], count >= place

    place, exists = 0, True
    while exists:
        numbers, exists = read_while_it_arrives_at(place)
        if exists:
            assert sorted(numbers) == [0, number]
        place += 1
    assert place > 5
    assert not passed_on


def test_a_second_interrupt_is_handled_as_before(passed_on):
    with preemption_requested() as requested:
        signal.raise_signal(signal.SIGINT)
        assert not passed_on
        signal.raise_signal(signal.SIGINT)
        assert passed_on == [signal.SIGINT]
        assert requested(1) == signal.SIGINT


def test_a_second_interrupt_ends_a_script_of_the_users():
    with preemption_requested() as requested:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert requested(1) == signal.SIGINT


def test_schedulers_that_insist_are_heard_once(passed_on):
    with preemption_requested() as requested:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert requested(1) == signal.SIGTERM
    assert not passed_on


def test_a_background_job_goes_on_at_an_interrupt(passed_on):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with preemption_requested() as requested:
        signal.raise_signal(signal.SIGINT)
        assert requested(1) == 0
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def test_other_threads_get_no_requests():
    answers = []

    def ask():
        with preemption_requested() as requested:
            answers.append(requested(0))

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert answers == [0]


@pytest.mark.parametrize(
    ("number", "message", "status"),
    [
        (signal.SIGINT, "interrupted at step 3, which is saved", 130),
        (signal.SIGTERM, "preempted at step 3, which is saved", 143),
        (True, "preempted at step 3, which is saved", 143),
    ],
)
def test_the_error_says_which_signal_it_was(number, message, status):
    error = training.PreemptedError(3, number)
    assert message in str(error)
    assert error.status == status
