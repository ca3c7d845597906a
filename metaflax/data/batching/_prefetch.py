"""Making batches on another thread while the device computes."""

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
) -> Generator[Any]:
    """Iterates ahead of the consumer on a background thread.

    Args:
      iterable: makes batches, slowly.
      size: how many are kept ready, at most; one more may be in the making.
      transfer: applied to each on the thread, by default to the device.

    Yields:
      What `iterable` yields, transferred, in order; the thread starts when the first
      is asked for. An exception of `iterable` or `transfer` is raised here, after the
      items before it. Closing the generator, or letting go of it, stops the thread
      before it makes another item.

    Raises:
      ValueError: if `size` is below 1.

    Examples:
      >>> list(prefetch(range(3), transfer=lambda item: item * 10))
      [0, 10, 20]
    """
    if size < 1:
        raise ValueError(f"prefetch keeps at least one item ready, got size={size}.")
    return _prefetched(iterable, size, transfer)


def _prefetched(
    iterable: Iterable[Any], size: int, transfer: Callable[[Any], Any]
) -> Generator[Any]:
    ready: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue()
    room = threading.Semaphore(size)  # Places free; released to wake a stopped thread.
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
        thread.join()


def _produce(
    iterable: Iterable[Any],
    transfer: Callable[[Any], Any],
    ready: queue.Queue,
    room: threading.Semaphore,
    stopped: threading.Event,
) -> None:
    """Fills `ready` as there is room, then says that it is done, or why not."""
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
    except BaseException as error:  # Of any type: it is raised in the consumer.
        ready.put((None, error))
