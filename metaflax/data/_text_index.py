"""One indexed source of raw text, for tasks made of its words and of its labels."""

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from metaflax import tasks
from metaflax.data import _rows
from metaflax.data._embedded import cache_folder
from metaflax.data._lines import Lines, numbered_lines
from metaflax.data._postings import Postings, PostingsBuilder
from metaflax.data._sealed import check_seal, seal

_VERSION = "metaflax text 1"
_STARTS = "<i8"
_CHUNK = 2**16  # Starts of lines that are written together.
_ASCII_WORD = re.compile(r"[^\W_]+", re.ASCII)
# A word that occurs in one text only can be in no task.
_LEAST = 2
_JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")


class TextIndex:
    """The texts of a file by number, and in which of them each word occurs.

    Made by `index_texts`. Texts are read from the file as they are asked for, and the
    rest is memory-mapped, so that an index of any size takes little memory. A process
    that is given one (pickled) opens the files for itself.

    Args:
      path: the file of texts.
      folder: where its index lies.

    Attributes:
      words: the words by number, lower-cased, each with the rows it occurs in.
      labels: the labels likewise; None where no column was named.
    """

    def __init__(self, path: Path, folder: Path):
        self.path = path
        self._folder = folder
        written = json.loads((folder / "index.json").read_text())
        self._column = written["text"]
        starts = np.memmap(folder / "starts.int64", _STARTS, "r")
        if len(starts) != written["rows"] + 1:
            raise ValueError(f"{folder} is damaged.")
        self._lines = Lines(path, starts)
        self.words = Postings(folder / "words")
        labelled = (folder / "labels").is_dir()
        self.labels = Postings(folder / "labels") if labelled else None

    def __reduce__(self):
        return TextIndex, (self.path, self._folder)

    def __len__(self) -> int:
        return len(self._lines)

    def text(self, row: int) -> str:
        """The text of a row.

        Raises:
          ValueError: if the file is another than was indexed.
        """
        try:
            line = self._lines[row]
            return line if self._column is None else json.loads(line)[self._column]
        except (ValueError, LookupError, TypeError, RecursionError):
            raise ValueError(
                f"{self.path}: has changed since it was indexed; start again."
            ) from None

    def release(self) -> None:
        """Lets go of memory that reading has taken; readers of much call it often."""
        self._lines.release()
        self.words.release()
        if self.labels is not None:
            self.labels.release()


def index_texts(
    path: str | Path,
    *,
    text: str = "text",
    label: str | None = None,
    cache_dir: str | Path | None = None,
) -> TextIndex:
    r"""Indexes a file of raw text, or finds its index from last time.

    It is built in one pass over the lines, in bounded memory, and kept under the digest
    of the file's content, whatever its name. It appears whole or not at all.

    Args:
      path: a file with a text a line (a sentence, best), or JSONL. Blank lines are
        passed over.
      text: the column of texts, of JSONL.
      label: the column of labels, of JSONL, to draw supervised tasks from as well.
      cache_dir: where indices are kept; by default a folder of `cache_folder()`.

    Returns:
      The `TextIndex`.

    Raises:
      ValueError: if the file is missing, empty or no text, with the line at fault.

    Examples:
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = Path(folder) / "pets.txt"
      ...     _ = path.write_text("A dog barks.\nMy dog sleeps.\nA cat sleeps.\n")
      ...     index = index_texts(path, cache_dir=folder)
      ...     for number, word in enumerate(index.words.names):
      ...         print(word, index.words.rows(number))
      a [0 2]
      dog [0 1]
      sleeps [1 2]
    """
    path = Path(path).expanduser().absolute()
    columns = _columns(path, text, label)
    with _rows.opened(path) as file:
        digest = hashlib.file_digest(file, "sha256")  # pyright: ignore
    digest.update(json.dumps([_VERSION, *columns]).encode())
    kept = Path(cache_dir) if cache_dir else cache_folder() / "texts"
    folder = kept / f"text-{digest.hexdigest()}"
    if (index := _found(path, folder)) is not None:
        return index
    try:
        kept.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=kept, prefix=f".{folder.name}."))
    except OSError as error:
        raise ValueError(
            f"{kept}: cannot be written ({error.strerror}); choose another folder for"
            " the cache."
        ) from error
    try:
        with _rows.opened(path) as file:
            _build(file, str(path), columns, scratch)
        try:
            os.rename(scratch / "index", folder)
        except OSError:
            if not folder.is_dir():  # Else somebody else was faster.
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return TextIndex(path, folder)


def words_in(text: str) -> list[str]:
    """The words of a text in order, lower-cased, without punctuation.

    Examples:
      >>> words_in("Dogs don't bark at Élise.")
      ['dogs', 'don', 't', 'bark', 'at', 'élise']
    """
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    return [text[start:end].lower() for start, end in word_places(text)]


def word_places(text: str) -> list[tuple[int, int]]:
    """Where the words that `words_in` finds lie, `text[start:end]` each."""
    if text.isascii():
        return [match.span() for match in _ASCII_WORD.finditer(text)]
    return [(a, b) for a, b in tasks.word_spans(text) if text[a].isalnum()]


def _columns(path: Path, text: str, label: str | None) -> tuple[str | None, str | None]:
    """The columns to read, which only JSONL has."""
    if path.suffix.lower() in _JSON_SUFFIXES:
        return text, label
    if label is not None:
        raise ValueError(
            f"{path}: a line of plain text has no label; give JSONL with a column"
            f" {label!r}, or no label."
        )
    return None, None


def _found(path: Path, folder: Path) -> TextIndex | None:
    """The index in a folder, or None where there is none or it is damaged."""
    if not folder.is_dir():
        return None
    try:
        check_seal(folder)
        return TextIndex(path, folder)
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        shutil.rmtree(folder, ignore_errors=True)
        return None


def _build(
    file: BinaryIO, name: str, columns: tuple[str | None, str | None], scratch: Path
) -> None:
    """Writes the index of a file into `scratch / "index"`."""
    folder = scratch / "index"
    folder.mkdir()
    words = PostingsBuilder(scratch / "words", _is_word)
    labels = PostingsBuilder(scratch / "labels", lambda name, count: True)
    chunk: list[int] = []
    row = 0
    with (folder / "starts.int64").open("wb") as starts:
        for start, text, label in _texts(file, name, *columns):
            words.add(row, words_in(text))
            if label is not None:
                labels.add(row, [label])
            chunk.append(start)
            if len(chunk) == _CHUNK:
                np.array(chunk, _STARTS).tofile(starts)
                chunk = []
            row += 1
        np.array([*chunk, file.tell()], _STARTS).tofile(starts)
    if not row:
        raise ValueError(f"{name}: holds no text; give at least one line.")
    words.finish(folder / "words")
    if columns[1] is not None:
        labels.finish(folder / "labels")
    written = {"text": columns[0], "rows": row}
    (folder / "index.json").write_text(json.dumps(written))
    seal(folder)


def _texts(
    file: BinaryIO, name: str, text: str | None, label: str | None
) -> Iterator[tuple[int, str, str | None]]:
    """Yields (first byte, text, label) of each row."""
    for place, start, line in numbered_lines(file, name):
        if text is None:
            yield start, line, None
            continue
        columns = {"text": text, "label": label or "label"}
        fields = tasks.Fields(_rows.json_row(line, place), place, columns)
        yield start, fields.text("text"), fields.name("label") if label else None


def _is_word(name: str, count: int) -> bool:
    return count >= _LEAST and any(map(str.isalpha, name))
