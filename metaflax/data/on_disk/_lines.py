"""Random access to the lines of a file by number.

Lines are read on demand and not kept in memory; their offsets, eight bytes a line, are
memory-mapped.
"""

import mmap
import os
import weakref
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

# Lines are read whole, so that their length needs a limit.
MOST_BYTES = 2**20


class Stamp(NamedTuple):
    """Size and modification time of a file, to detect that it was written to."""

    size: int
    written: int

    @classmethod
    def of(cls, file: Path | int) -> "Stamp":
        """Reads the stamp of a path or an open file."""
        status = os.stat(file)
        return cls(status.st_size, status.st_mtime_ns)

    @classmethod
    def of_all(cls, files: Iterable[Path]) -> "Stamp":
        """Reads the size of files together, and when the last of them was written."""
        stamps = [cls.of(file) for file in files]
        sizes = sum(stamp.size for stamp in stamps)
        return cls(sizes, max(stamp.written for stamp in stamps))


def first_line(raw: bytes) -> str:
    """Decodes the first line of `raw`, without its line end."""
    return raw.partition(b"\n")[0].rstrip(b"\r").decode("utf-8")


class Lines:
    """Lines of a UTF-8 file by number.

    Args:
      path: the file, which stays open as long as this object lives.
      starts: int64 `[lines + 1]`, offset of each line, then the size of the file.
        Between two lines there may be others without a number.
      decode: `line = decode(raw)`, from bytes that begin with the line; by default it
        drops the line end.
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
        """Reads a line.

        Raises:
          ValueError: if the offsets do not fit the file.
        """
        if not 0 <= number < len(self):
            raise IndexError(number)
        first, last = self._starts[number : number + 2].tolist()
        if not 0 <= first <= last:
            raise ValueError(f"{self.path}: its index is damaged at line {number}.")
        size = min(last - first, MOST_BYTES)
        try:
            return self._decode(os.pread(self._file, size, first))
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(
                f"{self.path}: line {number} cannot be read ({error})."
            ) from error

    def __iter__(self) -> Iterator[str]:
        return map(self.__getitem__, range(len(self)))

    @property
    def stamp(self) -> Stamp:
        """Stamp of the file as it is now."""
        return Stamp.of(self._file)

    def release(self) -> None:
        """Releases the memory of pages that were read; see `release_pages`."""
        release_pages(self._starts)


def release_pages(mapped: np.ndarray) -> None:
    """Releases the pages of a memory-mapped array that were read.

    They are mapped again when they are read again. Without this, random access would
    end up with the whole file in memory.
    """
    if isinstance(mapped.base, mmap.mmap) and hasattr(mapped.base, "madvise"):
        mapped.base.madvise(mmap.MADV_DONTNEED)


def numbered_lines(file: BinaryIO, name: str) -> Iterator[tuple[str, int, str]]:
    """Yields (place, offset, line) of each line that is not blank.

    Raises:
      ValueError: if a line is too long, or not UTF-8.
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
