"""Ending the process on Ctrl-C (SIGINT), without an exception."""

import os
import signal
import sys
import threading
from types import FrameType
from typing import NoReturn

from metaflax import _files

ENDING = "interrupted; the same command resumes a run."
ENDING_LATER = (
    "interrupted: ending at the next safe point, after this step or validation;"
    " interrupt again to end at once."
)


def end_on_interrupt() -> None:
    """Makes SIGINT end the process at once, with status 130.

    Python would raise an exception wherever the main thread is. Running compiled code
    may crash on it, and it is lost if it is raised in a callback. Here a thread ends
    the process, whatever the main thread computes, and removes half-written files. If
    the outer loop takes the first SIGINT as a request, as `training.fit` does, the
    second one ends the process.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        return  # A background job of a shell, which ignores Ctrl-C.
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    ending = threading.Lock()

    def end() -> None:
        if ending.acquire(blocking=False):  # The other thread ends the process.
            _end()

    def handle(number: int, frame: FrameType | None) -> None:
        end()  # Perhaps before the thread could start.

    def watch() -> None:
        num_interrupts = 0
        while content := os.read(reader, 1):
            if content[0] != signal.SIGINT:
                continue
            num_interrupts += 1
            if num_interrupts > 1 or signal.getsignal(signal.SIGINT) is handle:
                end()
            else:
                _print(ENDING_LATER)

    signal.signal(signal.SIGINT, handle)
    # Python writes the number of each signal to this pipe as it arrives.
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=watch, name="interrupts", daemon=True).start()


def _end() -> NoReturn:
    _files.remove_unfinished()
    if sys.stdout is not None and sys.stdout.isatty():
        os.write(sys.stdout.fileno(), b"\x1b[?25h")  # A progress bar hides the cursor.
    _print(ENDING)
    os._exit(128 + signal.SIGINT)


def _print(sentence: str) -> None:
    os.write(2, f"metaflax: {sentence}\n".encode())  # A stream may be locked.
