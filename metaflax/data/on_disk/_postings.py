"""Inverted index on disk: the rows in which each name occurs.

It is built in one pass over the rows in bounded memory: pairs of name and row are
sorted a million at a time into files, from which the final lists are merged.
"""

import array
import collections
import itertools
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from metaflax.data.on_disk._lines import Lines, release_pages

# Pairs sorted at a time, and row numbers merged at a time.
_PAIRS = 2**20
_STRETCH = 2**23
# Names held at a time. Beyond it those that occurred least are dropped.
MOST_NAMES = 2**19


class Postings:
    """Row numbers of each name, memory-mapped.

    Args:
      folder: written by `PostingsBuilder.finish`.

    Attributes:
      names: names by number, read on demand.
      counts: int64 `[names]`, number of rows in which each occurs.

    Raises:
      ValueError: if the folder holds no complete index.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        sizes = json.loads((folder / "sizes.json").read_text())
        # A label may contain line ends, so that a name is all of its bytes.
        name_starts = _mapped(folder / "name_starts.npy", "<i8")
        self.names = Lines(folder / "names.txt", name_starts, bytes.decode)
        self._starts = _mapped(folder / "starts.npy", "<i8")
        self._rows = _mapped(folder / "rows.npy", "<i4")
        self.counts = np.diff(self._starts)
        actual = {"names": len(self.counts), "rows": len(self._rows)}
        if actual != sizes or len(self.names) != sizes["names"]:
            raise ValueError(f"{folder} is damaged: it holds {actual}, not {sizes}.")
        _check_running(name_starts, (folder / "names.txt").stat().st_size, folder)
        _check_running(self._starts, len(self._rows), folder)

    def __reduce__(self):
        return Postings, (self._folder,)

    def __len__(self) -> int:
        return len(self.counts)

    def rows(self, number: int) -> np.ndarray:
        """Returns the rows of a name, int32, ascending."""
        first, last = self._starts[number : number + 2]
        return self._rows[first:last]

    def release(self) -> None:
        """Releases the memory of pages that were read; see `release_pages`."""
        self.names.release()
        release_pages(self._starts)
        release_pages(self._rows)


def _mapped(path: Path, dtype: str) -> np.ndarray:
    """Memory-maps a one-dimensional array that `np.save` wrote."""
    with path.open("rb") as file:
        try:
            np.lib.format.read_magic(file)
            [length], _, saved_dtype = np.lib.format.read_array_header_1_0(file)
        except Exception as error:  # Whatever a damaged description raises.
            raise ValueError(f"{path} is damaged ({error}).") from error
        first = file.tell()
    # Checked before mapping, so that a damaged header allocates nothing.
    if (
        saved_dtype != dtype
        or first + length * saved_dtype.itemsize != path.stat().st_size
    ):
        raise ValueError(f"{path} is damaged: its size does not fit its header.")
    if not length:  # An empty array cannot be mapped.
        return np.zeros(0, dtype)
    return np.memmap(path, dtype, "r", first, (length,))


def _check_running(starts: np.ndarray, size: int, folder: Path) -> None:
    """Raises where offsets do not partition `size` items."""
    if starts[0] or starts[-1] != size or (np.diff(starts) < 0).any():
        raise ValueError(f"{folder} is damaged: its offsets do not fit.")


class PostingsBuilder:
    """Builds postings row by row.

    Args:
      scratch: folder to create for temporary files.
      keep: `keep(name, count)`, whether a name that occurs in `count` rows is kept.
      most_names: maximum number of names held at a time.
      crowded: called with the builder when there are more; by default `forget_rare`.
        It may raise where no name may be dropped.
    """

    def __init__(
        self,
        scratch: Path,
        keep: Callable[[str, int], bool],
        most_names: int = MOST_NAMES,
        crowded: "Callable[[PostingsBuilder], None] | None" = None,
    ):
        scratch.mkdir()
        self._scratch = scratch
        self._keep = keep
        self._most_names = most_names
        self._crowded = crowded or PostingsBuilder.forget_rare
        # A new name gets the next number, without running Python code.
        self._numbers: dict[str, int] = collections.defaultdict(
            itertools.count().__next__
        )
        self._counts = np.zeros(0, np.int32)
        self._names, self._rows = array.array("i"), array.array("i")
        self._num_runs = 0

    def add(self, row: int, names: Iterable[str]) -> None:
        """Adds the names that occur in a row; rows come in ascending order."""
        numbers = set(map(self._numbers.__getitem__, names))
        self._names.extend(numbers)
        self._rows.extend([row] * len(numbers))
        if len(self._names) >= _PAIRS:
            self._spill()

    def finish(self, folder: Path) -> None:
        """Writes the files that `Postings` reads."""
        self._spill()
        folder.mkdir()
        kept = {
            number: name
            for name, number in self._numbers.items()
            if self._keep(name, int(self._counts[number]))
        }
        numbers = np.array(sorted(kept), np.int64)
        raw = [kept[number].encode() for number in numbers.tolist()]
        (folder / "names.txt").write_bytes(b"".join(raw))
        np.save(folder / "name_starts.npy", _running([len(name) for name in raw]))
        starts = _running(self._counts[numbers])
        np.save(folder / "starts.npy", starts)
        self._write_rows(folder / "rows.npy", numbers, starts)
        sizes = {"names": len(numbers), "rows": int(starts[-1])}
        (folder / "sizes.json").write_text(json.dumps(sizes))

    def _spill(self) -> None:
        names, rows = np.array(self._names), np.array(self._rows)
        counts = np.bincount(names, minlength=len(self._counts)).astype(np.int32)
        counts[: len(self._counts)] += self._counts
        self._counts = counts
        order = np.argsort(names, kind="stable")  # Rows stay ascending.
        np.save(self._run(self._num_runs), np.stack([names[order], rows[order]]))
        self._num_runs += 1
        self._names, self._rows = array.array("i"), array.array("i")
        if len(self._numbers) > self._most_names:
            self._crowded(self)

    def forget_rare(self) -> None:
        """Drops the half (or more) of names that occurred least.

        A dropped name that occurs again counts from there: only occurrences of rare
        names in very large texts are lost.
        """
        known = np.fromiter(self._numbers.values(), np.int64, len(self._numbers))
        middle = np.partition(self._counts[known], len(known) // 2)[len(known) // 2]
        for name, number in list(self._numbers.items()):
            if self._counts[number] <= middle:
                del self._numbers[name]

    def _run(self, number: int) -> Path:
        return self._scratch / f"{number}.npy"

    def _write_rows(self, path: Path, numbers: np.ndarray, starts: np.ndarray) -> None:
        """Writes the rows of all names in order, a range of names at a time."""
        header = {"descr": "<i4", "fortran_order": False, "shape": (int(starts[-1]),)}
        with path.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            first = 0
            while first < len(numbers):
                reach = starts[first] + _STRETCH
                last = max(first + 1, int(np.searchsorted(starts, reach, "right")) - 1)
                rows = self._stretch(numbers[first:last], starts[first : last + 1])
                rows.tofile(file)
                first = last

    def _stretch(self, numbers: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """Merges the rows of a range of names from all sorted runs."""
        stretch = np.zeros(starts[-1] - starts[0], "<i4")
        filled = (starts[:-1] - starts[0]).copy()  # Next free position of each name.
        for run in range(self._num_runs):
            names, rows = np.load(self._run(run), mmap_mode="r", allow_pickle=False)
            here = slice(*np.searchsorted(names, [numbers[0], numbers[-1] + 1]))
            present, first, count = np.unique(
                names[here], return_index=True, return_counts=True
            )
            place = np.searchsorted(numbers, present)
            kept = numbers[place] == present
            within = np.arange(count.sum()) - np.repeat(first, count)
            target = np.repeat(filled[place], count) + within
            selected = np.repeat(kept, count)
            stretch[target[selected]] = rows[here][selected]
            filled[place[kept]] += count[kept]
        return stretch


def _running(lengths: Sequence[int] | np.ndarray) -> np.ndarray:
    """Computes the offset of each item, and the end of the last."""
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)
