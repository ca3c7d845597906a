"""Preemption: ending a run on SIGTERM, which schedulers send first."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

import jax
from jax.experimental import multihost_utils


class PreemptedError(KeyboardInterrupt):
    """Raised after a preemption request, once the run is saved and can be resumed.

    Attributes:
      step: the step that was saved.
    """

    status = 128 + signal.SIGTERM
    """Exit status, as a shell reports it for the signal."""

    def __init__(self, step: int):
        super().__init__(
            f"preempted at step {step}, which is saved; the same command resumes from"
            " there."
        )
        self.step = step


@contextlib.contextmanager
def preemption_requested() -> Iterator[Callable[[int], bool]]:
    """Catches SIGTERM, and tells whether it was received.

    Signals reach only the main thread: in other threads the answer is always false. If
    one of several processes is preempted, all of them return true at the same future
    step.

    Yields:
      `requested = preemption_requested(step)`, to be called before each step.
    """
    if jax.process_count() > 1:
        yield multihost_utils.reached_preemption_sync_point
        return
    if threading.current_thread() is not threading.main_thread():
        yield lambda step: False
        return
    received = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda number, frame: received.set())
    try:
        yield lambda step: received.is_set()
    finally:
        signal.signal(signal.SIGTERM, before)
