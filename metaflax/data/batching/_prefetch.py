"""Prefetches batches on a background thread while the device computes."""

import queue
import threading
from collections.abc import Callable, Generator, Iterable
from typing import Any

import jax

_DONE = object()


def prefetch(
    iterable: Iterable[Any],
    size: int = 2,
    transfer: Callable[[Any], Any] = jax.device_put,
    *,
    patience: float | None = None,
) -> Generator[Any]:
    """Iterates ahead of the consumer on a background thread.

    Args:
      iterable: yields batches.
      size: maximum number of batches kept ready; one more may be in progress.
      transfer: applied to each batch on the thread; by default, moves it to the device.
      patience: most seconds that closing waits for the item in progress, for an
        iterable that may block, such as a stream; None to wait for its end.

    Yields:
      The items of `iterable`, transferred, in order. The thread starts with the first
      request. An exception in `iterable` or `transfer` is raised here, after the items
      before it. Closing or deleting the generator stops the thread before the next
      item.

    Raises:
      ValueError: if `size` is below 1.

    Examples:
      >>> from metaflax.data import prefetch
      >>> list(prefetch(range(3), transfer=lambda item: item * 10))
      [0, 10, 20]
    """
    if size < 1:
        raise ValueError(f"prefetch keeps at least one item ready, got size={size}.")
    return _prefetched(iterable, size, transfer, patience)


def _prefetched(
    iterable: Iterable[Any],
    size: int,
    transfer: Callable[[Any], Any],
    patience: float | None,
) -> Generator[Any]:
    ready: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue()
    room = threading.Semaphore(size)  # Free slots; released to wake a stopped thread.
    stopped = threading.Event()
    arguments = (iterable, transfer, ready, room, stopped)
    thread = threading.Thread(
        target=_produce, args=arguments, name="metaflax-prefetch", daemon=True
    )
    thread.start()
    try:
        while True:
            item, error = ready.get()
            room.release()
            if error is not None:
                raise error
            if item is _DONE:
                return
            yield item
    finally:
        stopped.set()
        room.release()
        thread.join(patience)


def _produce(
    iterable: Iterable[Any],
    transfer: Callable[[Any], Any],
    ready: queue.Queue,
    room: threading.Semaphore,
    stopped: threading.Event,
) -> None:
    """Fills `ready` while there is room, then puts `_DONE` or the exception."""
    try:
        iterator = iter(iterable)
        while True:
            room.acquire()
            if stopped.is_set():
                return
            item = next(iterator, _DONE)
            ready.put((item if item is _DONE else transfer(item), None))
            if item is _DONE:
                return
    except BaseException as error:  # Any exception is raised again in the consumer.
        ready.put((None, error))
