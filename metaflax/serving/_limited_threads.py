"""Threads for work beside predictions, with limits on its amount and time."""

import asyncio
import concurrent.futures
import functools
import threading
from collections.abc import Callable
from typing import TypeVar

from metaflax.serving._errors import busy, late
from metaflax.serving._limits import Limits

R = TypeVar("R")


class LimitedThreads:
    """Runs work of one kind, such as adaptations, in threads of its own.

    Args:
      work: plural name of the work, for messages.
      limits: limits on how much of it waits, and on its time.
      at_once: number of threads.
    """

    def __init__(self, work: str, limits: Limits, at_once: int):
        self._work, self._seconds = work, limits.adaptation_deadline_seconds
        self._room = threading.BoundedSemaphore(limits.max_waiting_adaptations)
        self._threads = concurrent.futures.ThreadPoolExecutor(
            at_once, work.replace(" ", "-")
        )

    def deadline(self) -> float:
        """Returns the deadline of a request that begins now, as `loop.time()`."""
        return asyncio.get_running_loop().time() + self._seconds

    async def run(
        self,
        function: Callable[[], R],
        deadline: float | None = None,
        *,
        discard: Callable[[R], object] = lambda result: None,
    ) -> R:
        """Runs a function, which continues in its thread after a missed deadline.

        It must not store its result, since the client gets an error and may retry.

        Args:
          function: the work.
          deadline: as of `deadline` (default: that of a request that begins now).
          discard: called with a result that comes after the deadline, or after the
            client has left.

        Raises:
          ApiError: if too much work is waiting, or the deadline has passed.
        """
        if not self._room.acquire(blocking=False):
            raise busy(self._work, seconds=5)
        future = self._threads.submit(function)
        future.add_done_callback(lambda _: self._room.release())
        try:
            async with asyncio.timeout_at(deadline or self.deadline()):
                return await asyncio.wrap_future(future)
        except (TimeoutError, asyncio.CancelledError) as error:
            future.add_done_callback(functools.partial(_discard, discard))
            if isinstance(error, TimeoutError):
                raise late() from None
            raise

    def close(self) -> None:
        """Waits for the work that runs; waiting work fails."""
        self._threads.shutdown(cancel_futures=True)


def _discard(
    discard: Callable[[R], object], future: "concurrent.futures.Future[R]"
) -> None:
    if not future.cancelled() and future.exception() is None:
        discard(future.result())
