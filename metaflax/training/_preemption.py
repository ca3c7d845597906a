"""Ending a run between steps, on SIGTERM of a scheduler or on Ctrl-C (SIGINT)."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

import jax
from jax.experimental import multihost_utils


class PreemptedError(KeyboardInterrupt):
    """Raised after a preemption request, once the run is saved and can be resumed.

    Args:
      step: the step that was saved.
      number: number of the signal that requested it; any but SIGINT counts as SIGTERM.

    Attributes:
      step: the step that was saved.
      status: exit status, as a shell reports it for the signal.

    Examples:
      >>> import signal
      >>> from metaflax import training
      >>> error = training.PreemptedError(40, signal.SIGTERM)
      >>> print(error, error.status)
      preempted at step 40, which is saved; the same command resumes from there. 143
    """

    def __init__(self, step: int, number: int = signal.SIGTERM):
        interrupted = number == signal.SIGINT
        super().__init__(
            f"{'interrupted' if interrupted else 'preempted'} at step {step}, which is"
            " saved; the same command resumes from there."
        )
        self.step = step
        self.status = 128 + (signal.SIGINT if interrupted else signal.SIGTERM)


@contextlib.contextmanager
def preemption_requested() -> Iterator[Callable[[int], int]]:
    """Catches SIGTERM and the first SIGINT, as requests to end between steps.

    An exception in the middle of a step may corrupt compiled code that is running, and
    is lost if it is raised in a callback. A second SIGINT gets the previous handler; so
    does a first signal that the body did not query before it ends.

    Signals reach only the main thread: in other threads the result is always 0. If one
    of several processes is preempted, all of them get a number at the same future step.

    Yields:
      `number = preemption_requested(step)`, to be called before each step: the number
      of the signal that was received, or 0.
    """
    if threading.current_thread() is not threading.main_thread():
        several = jax.process_count() > 1
        yield _number_in_all_processes([]) if several else lambda step: 0
        return
    if jax.process_count() > 1:
        # Jax catches SIGTERM itself, and tells the other processes.
        with _caught(signal.SIGINT, lambda: os.kill(os.getpid(), signal.SIGTERM)) as it:
            yield _number_in_all_processes(it)
        return
    with (
        _caught(signal.SIGINT) as interrupts,
        _caught(signal.SIGTERM) as terminations,
    ):

        def number(step: int) -> int:
            del step
            # Each is taken by one atomic operation; signals may arrive in between.
            for received in (terminations, interrupts):
                if received:
                    return received.pop()
            return 0

        yield number


def _number_in_all_processes(received: list[int]) -> Callable[[int], int]:
    def number(step: int) -> int:
        if not multihost_utils.reached_preemption_sync_point(step):
            return 0
        return received.pop() if received else signal.SIGTERM

    return number


@contextlib.contextmanager
def _caught(
    number: signal.Signals, on_first: Callable[[], None] = lambda: None
) -> Iterator[list[int]]:
    """Collects the first signal of a number; later ones get the previous handler.

    Yields:
      A list to which the number is appended; if it is still there at the end, the
      signal is sent again.
    """
    received: list[int] = []
    before = signal.getsignal(number) or signal.SIG_DFL
    if number == signal.SIGINT and before == signal.SIG_IGN:
        yield received  # A background job of a shell, which ignores Ctrl-C.
        return
    first = True

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal first
        if first:
            first = False
            received.append(number)
            on_first()
        elif number == signal.SIGINT and callable(before):
            before(number, frame)

    signal.signal(number, handle)
    try:
        yield received
    finally:
        signal.signal(number, before)
    if received:
        signal.raise_signal(number)
