"""Shards an endless list across several readers."""

from collections.abc import Callable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def share_out(
    items: Callable[[int], Item], reader: int, num_readers: int, start: int = 0
) -> Iterator[tuple[int, Item]]:
    """Iterates over one reader's shard of an endless list.

    The shards of all readers make up the same list, whatever the number of readers:
    sorted by index, it is the list of a single reader.

    Args:
      items: `item = items(index)`, the same in every reader, such as a sampler's
        episode.
      reader: index of this reader.
      num_readers: number of readers.
      start: first index of the list.

    Yields:
      (index, item) of every `num_readers`-th index.

    Raises:
      ValueError: if `reader` is not in 0 to `num_readers - 1`.

    Examples:
      >>> from metaflax.data import share_out
      >>> squares = share_out(lambda index: index**2, reader=1, num_readers=4)
      >>> next(squares), next(squares)
      ((1, 1), (5, 25))
    """
    if not 0 <= reader < num_readers:
        raise ValueError(f"there is no reader {reader} among {num_readers}.")
    return ((n, items(n)) for n in _every(start + reader, num_readers))


def _every(start: int, step: int) -> Iterator[int]:
    while True:
        yield start
        start += step
