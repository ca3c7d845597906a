"""Several readers that make one endless list together."""

from collections.abc import Callable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def share_out(
    items: Callable[[int], Item], reader: int, num_readers: int, start: int = 0
) -> Iterator[tuple[int, Item]]:
    """The part of an endless list that one of several readers makes.

    Whatever their number, all of them together make the same list; `sorted` by number
    it is that of one reader.

    Args:
      items: `item = items(index)`, the same whoever asks, such as the episode of a
        sampler.
      reader: which of the readers this is.
      num_readers: how many there are.
      start: where the list begins.

    Yields:
      (index, item) of every `num_readers`-th index.

    Raises:
      ValueError: if there is no such reader.

    Examples:
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
