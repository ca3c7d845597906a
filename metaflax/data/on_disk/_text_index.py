"""Index of texts by number, word and label."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from metaflax.data.on_disk._arrow_texts import ArrowTexts
from metaflax.data.on_disk._lines import Lines, Stamp
from metaflax.data.on_disk._postings import Postings
from metaflax.tasks._words import word_spans

Kind: TypeAlias = Literal["words", "labels"]

# Files of an index: the offsets of lines, and its own copy of texts, if any.
STARTS, STARTS_TYPE = "starts.int64", "<i8"
STORE = "texts.jsonl"
_ASCII_WORD = re.compile(r"[^\W_]+", re.ASCII)


class TextIndex:
    """Texts of a source by number, and the texts in which each word or label occurs.

    Made by `index_texts` or `index_labels`. Texts are read from the file on demand and
    the rest is memory-mapped, so that an index of any size takes little memory. A
    process that receives one (pickled) opens the files itself.

    Args:
      path: the file of texts, or the name of the source of stored texts.
      folder: folder of the index.
      stamp: stamp of the indexed files; None for their current one.
      files: Arrow files that texts are read from; none for lines of a file.

    Raises:
      ValueError: if the index is damaged, or the file was written to.
    """

    def __init__(
        self,
        path: Path,
        folder: Path,
        stamp: Stamp | None = None,
        files: Sequence[Path] = (),
    ):
        self.path = path
        self._folder = folder
        self._files = tuple(files)
        written = json.loads((folder / "index.json").read_text())
        self._column = written["text"]
        starts = np.memmap(folder / STARTS, STARTS_TYPE, "r")
        if written["arrow"] is None:
            file = path if written["in_place"] else folder / STORE
            self._lines = Lines(file, starts)
        else:
            self._lines = ArrowTexts(self._files, starts, written["arrow"])
        self._stamp = stamp or self._lines.stamp
        self._check_unchanged()
        if len(starts) != written["rows"] + 1 or starts[-1] != self._stamp.size:
            raise ValueError(f"{folder} is damaged.")
        self._postings = {kind: Postings(folder / kind) for kind in written["kinds"]}

    def __reduce__(self):
        return TextIndex, (self.path, self._folder, self._stamp, self._files)

    def __len__(self) -> int:
        return len(self._lines)

    @property
    def digest(self) -> str:
        """Digest of the content of the indexed files."""
        return self._folder.name.removeprefix("text-")

    @property
    def words(self) -> Postings:
        """Rows by word, lower-cased.

        Raises:
          ValueError: if words were not indexed.
        """
        return self.postings("words")

    @property
    def labels(self) -> Postings:
        """Rows by label.

        Raises:
          ValueError: if labels were not indexed.
        """
        return self.postings("labels")

    def postings(self, kind: Kind) -> Postings:
        """Returns the `words` or the `labels`.

        Raises:
          ValueError: if they were not indexed.
        """
        try:
            return self._postings[kind]
        except KeyError:
            way_out = {"words": "index_texts does so", "labels": "name their column"}
            raise ValueError(
                f"{self.path}: was indexed without {kind}; {way_out[kind]}."
            ) from None

    def text(self, row: int) -> str:
        """Reads the text of a row.

        Raises:
          ValueError: if the file has changed since it was indexed.
        """
        self._check_unchanged()
        try:
            line = self._lines[row]
            return line if self._column is None else json.loads(line)[self._column]
        except (ValueError, LookupError, TypeError, RecursionError):
            raise self._changed() from None  # Its time was reset.

    def release(self) -> None:
        """Releases the memory of pages that were read; call it often."""
        self._lines.release()
        for postings in self._postings.values():
            postings.release()

    def _check_unchanged(self) -> None:
        if self._lines.stamp != self._stamp:
            raise self._changed()

    def _changed(self) -> ValueError:
        return ValueError(
            f"{self.path}: has changed since it was indexed; start again."
        )


def words_in(text: str) -> list[str]:
    """Lists the words of a text in order, lower-cased, without punctuation.

    Examples:
      >>> words_in("Dogs don't bark at Élise.")
      ['dogs', 'don', 't', 'bark', 'at', 'élise']
    """
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    return [text[start:end].lower() for start, end in word_places(text)]


def word_places(text: str) -> list[tuple[int, int]]:
    """Finds the places of the words of `words_in`, `text[start:end]` each."""
    if text.isascii():
        return [match.span() for match in _ASCII_WORD.finditer(text)]
    return [(a, b) for a, b in word_spans(text) if text[a].isalnum()]
