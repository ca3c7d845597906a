"""Logging of libraries."""

import logging
import os
import sys
import threading
from types import TracebackType


def quiet_logs() -> None:
    """Silences libraries that log the errors that they raise, such as Orbax.

    Also silences the advice of `transformers` to install torch, which is not needed.

    Examples:
      >>> import logging
      >>> quiet_logs()
      >>> logging.getLogger("absl").isEnabledFor(logging.ERROR)
      False
    """
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if not isinstance(sys.excepthook, _QuietHook):
        sys.excepthook = _QuietHook()


class _QuietHook:
    """Exception hook that ignores errors of TensorStore's threads.

    After writing one array of a checkpoint failed, whose error is raised in the main
    thread, these threads report an error for each further array.
    """

    def __init__(self):
        self._before = sys.excepthook

    def __call__(
        self,
        kind: type[BaseException],
        error: BaseException,
        trace: TracebackType | None,
    ) -> None:
        elsewhere = threading.current_thread() is not threading.main_thread()
        if not (elsewhere and str(error) == "Event loop is closed"):
            self._before(kind, error, trace)
