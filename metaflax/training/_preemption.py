"""Being asked to end, as schedulers do before they take a machine away."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator


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
def asked_to_end() -> Iterator[Callable[[], bool]]:
    """Whether SIGTERM has come, which meanwhile ends nothing by itself.

    Signals reach the main thread alone: in any other the answer is always no.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    come = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda number, frame: come.set())
    try:
        yield come.is_set
    finally:
        signal.signal(signal.SIGTERM, before)
