"""Being asked to end, as schedulers do before they take a machine away."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

import jax
from jax.experimental import multihost_utils


class PreemptedError(KeyboardInterrupt):
    """The process was asked to end; the run is saved, and can be gone on with.

    Attributes:
      step: that was saved.
    """

    status = 128 + signal.SIGTERM
    """What a shell says of a process that ended so."""

    def __init__(self, step: int):
        super().__init__(
            f"asked to end at step {step}, which is saved; the same command goes on"
            " from there."
        )
        self.step = step


@contextlib.contextmanager
def preemption_requested() -> Iterator[Callable[[int], bool]]:
    """Whether SIGTERM has come, which meanwhile ends nothing by itself.

    Signals reach the main thread alone: in any other the answer is always no. Of
    several processes that train together it is enough that one is asked; all of them
    say yes at the same step, one that none has come to yet.

    Yields:
      `asked = preemption_requested(step)`, to be asked before each step.
    """
    if jax.process_count() > 1:
        yield multihost_utils.reached_preemption_sync_point
        return
    if threading.current_thread() is not threading.main_thread():
        yield lambda step: False
        return
    come = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda number, frame: come.set())
    try:
        yield lambda step: come.is_set()
    finally:
        signal.signal(signal.SIGTERM, before)
