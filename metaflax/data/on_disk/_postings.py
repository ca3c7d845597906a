"""Where each of many names occurs: an inverted index on disk.

It is built in one pass over the rows, in memory that does not grow with their number:
pairs of name and row are sorted a million at a time and kept in files, from which each
stretch of the final list is put together.
"""

import array
import collections
import itertools
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from metaflax.data.on_disk._lines import Lines, let_go

# Pairs that are sorted at a time, and numbers of rows that are put together at a time.
_PAIRS = 2**20
_STRETCH = 2**23
# Names that are known at a time. Beyond it those that occurred least are forgotten.
MOST_NAMES = 2**19


class Postings:
    """For each name the numbers of the rows where it occurs, memory-mapped.

    Args:
      folder: what `PostingsBuilder.finish` wrote.

    Attributes:
      names: by number, read when they are asked for.
      counts: int64 `[names]`, in how many rows each occurs.

    Raises:
      ValueError: if the folder holds no whole index.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        sizes = json.loads((folder / "sizes.json").read_text())
        # A label may hold line ends, so that each name is all of its bytes.
        name_starts = _mapped(folder / "name_starts.npy", "<i8")
        self.names = Lines(folder / "names.txt", name_starts, bytes.decode)
        self._starts = _mapped(folder / "starts.npy", "<i8")
        self._rows = _mapped(folder / "rows.npy", "<i4")
        self.counts = np.diff(self._starts)
        found = {"names": len(self.counts), "rows": len(self._rows)}
        if found != sizes or len(self.names) != sizes["names"]:
            raise ValueError(f"{folder} holds {found}, and was to hold {sizes}.")
        _check_running(name_starts, (folder / "names.txt").stat().st_size, folder)
        _check_running(self._starts, len(self._rows), folder)

    def __reduce__(self):
        return Postings, (self._folder,)

    def __len__(self) -> int:
        return len(self.counts)

    def rows(self, number: int) -> np.ndarray:
        """The rows of a name, int32, rising."""
        first, last = self._starts[number : number + 2]
        return self._rows[first:last]

    def release(self) -> None:
        """Lets go of memory, see `let_go`."""
        self.names.release()
        let_go(self._starts)
        let_go(self._rows)


def _mapped(path: Path, dtype: str) -> np.ndarray:
    """The array of a file that `np.save` wrote, of one axis."""
    with path.open("rb") as file:
        try:
            np.lib.format.read_magic(file)
            [length], _, found = np.lib.format.read_array_header_1_0(file)
        except Exception as error:  # Whatever a damaged description raises.
            raise ValueError(f"{path} is damaged ({error}).") from error
        first = file.tell()
    # Before it is mapped, so that nothing makes room for what is not there.
    if found != dtype or first + length * found.itemsize != path.stat().st_size:
        raise ValueError(f"{path} is damaged: its size is not what it says.")
    if not length:  # Which cannot be mapped.
        return np.zeros(0, dtype)
    return np.memmap(path, dtype, "r", first, (length,))


def _check_running(starts: np.ndarray, size: int, folder: Path) -> None:
    """Refuses starts that would lead out of what they divide."""
    if starts[0] or starts[-1] != size or (np.diff(starts) < 0).any():
        raise ValueError(f"{folder} is damaged: it does not say where rows begin.")


class PostingsBuilder:
    """Collects names row by row.

    Args:
      scratch: an empty folder for what does not stay in memory.
      keep: whether a name that occurs in so many rows is kept.
      most_names: names known at a time.
      crowded: what is done when there are more, by default `forget_rare`; it may raise
        instead, where none is to be lost.
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
        # A new name gets the next number, without a line of Python.
        self._numbers: dict[str, int] = collections.defaultdict(
            itertools.count().__next__
        )
        self._counts = np.zeros(0, np.int32)
        self._names, self._rows = array.array("i"), array.array("i")
        self._num_runs = 0

    def add(self, row: int, names: Iterable[str]) -> None:
        """Says which names occur in a row; rows come in rising order."""
        found = set(map(self._numbers.__getitem__, names))
        self._names.extend(found)
        self._rows.extend([row] * len(found))
        if len(self._names) >= _PAIRS:
            self._spill()

    def finish(self, folder: Path) -> None:
        """Writes what `Postings` reads."""
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
        order = np.argsort(names, kind="stable")  # So that rows keep rising.
        np.save(self._run(self._num_runs), np.stack([names[order], rows[order]]))
        self._num_runs += 1
        self._names, self._rows = array.array("i"), array.array("i")
        if len(self._numbers) > self._most_names:
            self._crowded(self)

    def forget_rare(self) -> None:
        """Forgets the names that occurred least, half of them or more.

        One that begins again later counts from there: what is lost are occurrences of
        rare names in texts of very many.
        """
        known = np.fromiter(self._numbers.values(), np.int64, len(self._numbers))
        middle = np.partition(self._counts[known], len(known) // 2)[len(known) // 2]
        for name, number in list(self._numbers.items()):
            if self._counts[number] <= middle:
                del self._numbers[name]

    def _run(self, number: int) -> Path:
        return self._scratch / f"{number}.npy"

    def _write_rows(self, path: Path, numbers: np.ndarray, starts: np.ndarray) -> None:
        """The rows of all names one after the other, a stretch of names at a time."""
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
        """The rows of some names, out of every run."""
        stretch = np.zeros(starts[-1] - starts[0], "<i4")
        filled = (starts[:-1] - starts[0]).copy()  # How far each name has come.
        for run in range(self._num_runs):
            names, rows = np.load(self._run(run), mmap_mode="r", allow_pickle=False)
            here = slice(*np.searchsorted(names, [numbers[0], numbers[-1] + 1]))
            own, first, count = np.unique(
                names[here], return_index=True, return_counts=True
            )
            place = np.searchsorted(numbers, own)
            known = numbers[place] == own
            within = np.arange(count.sum()) - np.repeat(first, count)
            target = np.repeat(filled[place], count) + within
            wanted = np.repeat(known, count)
            stretch[target[wanted]] = rows[here][wanted]
            filled[place[known]] += count[known]
        return stretch


def _running(lengths: Sequence[int] | np.ndarray) -> np.ndarray:
    """Where each begins, and where the last ends."""
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)
