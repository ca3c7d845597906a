"""The lines of a file by number, read when they are asked for.

Nothing of the file stays in memory: a file of any size costs eight bytes a line, and
those are memory-mapped.
"""

import mmap
import os
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

# A line is read whole, so there is to be a limit to it.
MOST_BYTES = 2**20


class Stamp(NamedTuple):
    """What a file that has not been written to since has kept."""

    size: int
    written: int

    @classmethod
    def of(cls, file: Path | int) -> "Stamp":
        """That of a path or an open file."""
        found = os.stat(file)
        return cls(found.st_size, found.st_mtime_ns)


def first_line(raw: bytes) -> str:
    """The line that bytes begin with, without its end."""
    return raw.partition(b"\n")[0].rstrip(b"\r").decode("utf-8")


class Lines:
    """Lines of a UTF-8 file, by number.

    Args:
      path: the file, which stays open as long as this is in use.
      starts: int64 `[lines + 1]`, where each line begins, then the size of the file.
        Between two lines there may be others, which have no number.
      decode: `line = decode(raw)`, from the bytes that begin with it; by default
        without its end.
    """

    def __init__(
        self,
        path: Path,
        starts: np.ndarray,
        decode: Callable[[bytes], str] = first_line,
    ):
        self.path = path
        self._starts = starts
        self._decode = decode
        self._file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, number: int) -> str:
        """A line.

        Raises:
          ValueError: if the starts are none of this file.
        """
        if not 0 <= number < len(self):
            raise IndexError(number)
        first, last = self._starts[number : number + 2].tolist()
        if not 0 <= first <= last:
            raise ValueError(f"{self.path}: its index is damaged at line {number}.")
        most = min(last - first, MOST_BYTES)
        try:
            return self._decode(os.pread(self._file, most, first))
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(
                f"{self.path}: line {number} cannot be read ({error})."
            ) from error

    def __iter__(self) -> Iterator[str]:
        return map(self.__getitem__, range(len(self)))

    @property
    def stamp(self) -> Stamp:
        """Of the file as it is now."""
        return Stamp.of(self._file)

    def release(self) -> None:
        """Lets go of memory, see `let_go`."""
        let_go(self._starts)


def let_go(mapped: np.ndarray) -> None:
    """Gives back the memory of what was read of a memory-mapped array.

    What is read again is mapped again. Else a reader of random places would end up with
    all of the file in memory.
    """
    if isinstance(mapped.base, mmap.mmap) and hasattr(mapped.base, "madvise"):
        mapped.base.madvise(mmap.MADV_DONTNEED)


def numbered_lines(file: BinaryIO, name: str) -> Iterator[tuple[str, int, str]]:
    """Yields (place, first byte, line) of those lines that are not blank.

    Raises:
      ValueError: if a line is too long to be one, or not UTF-8.
    """
    number = first = 0
    while raw := file.readline(MOST_BYTES + 1):
        number += 1
        place = f"{name}:{number}"
        if len(raw) > MOST_BYTES:
            raise ValueError(
                f"{place}: the line is longer than {MOST_BYTES:,} bytes; put each"
                " sentence on a line of its own."
            )
        bom = 3 if number == 1 and raw.startswith(b"\xef\xbb\xbf") else 0
        try:
            line = raw[bom:].decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{place}: not UTF-8 (byte {bom + error.start + 1} of the line is"
                f" 0x{raw[bom + error.start]:02x}); save the file as UTF-8."
            ) from None
        if line.strip():
            yield place, first + bom, line.rstrip("\r\n")
        first += len(raw)
