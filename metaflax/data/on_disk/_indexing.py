"""Indexing of texts by word and label, cached by content."""

import contextlib
import functools
import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from metaflax._files import atomic_folder, cache_folder, folder_digest
from metaflax.data.on_disk import _byte_offsets as _addressed
from metaflax.data.on_disk._byte_offsets import FileOfLines, Row, Source
from metaflax.data.on_disk._hub_streams import stream_of
from metaflax.data.on_disk._lines import Stamp
from metaflax.data.on_disk._postings import MOST_NAMES, PostingsBuilder
from metaflax.data.on_disk._text_index import (
    STARTS,
    STARTS_TYPE,
    STORE,
    Kind,
    TextIndex,
    words_in,
)

_VERSION = "metaflax text 3"
_DIGEST = "sha256"  # The file of an index that holds the digest of all others.
_CHUNK = 2**16  # Line offsets written at a time.
# A word that occurs in a single text can form no task.
_LEAST = 2
# No label may be dropped, so that memory needs a limit: some 500 MiB while building.
MOST_LABELS = 2**21


def index_texts(
    path: str | Path,
    *,
    text: str = "text",
    label: str | None = None,
    cache_dir: str | Path | None = None,
) -> TextIndex:
    r"""Indexes a file of raw text by word, or loads its index from the cache.

    The index is built in one pass over the lines, in bounded memory, and cached under
    the digest of the file's content, whatever its name.

    Args:
      path: a file with a text per line (preferably a sentence), or JSONL. Blank lines
        are skipped.
      text: column of texts, of JSONL.
      label: column of labels, of JSONL, to index as well.
      cache_dir: folder of cached indices; by default a folder of `cache_folder()`.

    Returns:
      The `TextIndex`.

    Raises:
      ValueError: if the file is missing, empty or not text; the message names the line.

    Examples:
      >>> from pathlib import Path
      >>> from metaflax.data import index_texts
      >>> import tempfile
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
    source = FileOfLines.of(Path(path).expanduser().absolute(), text, label)
    kinds: list[Kind] = ["words"] if label is None else ["words", "labels"]
    return _indexed(source, kinds, _index_folder(cache_dir))


def index_labels(
    source: str | Path,
    *,
    text: str = "text",
    label: str = "label",
    split: str | None = None,
    encoding: str | None = None,
    cache_dir: str | Path | None = None,
) -> TextIndex:
    r"""Indexes labelled texts by label, or loads their index from the cache.

    Like `index_texts`, without words, which cost the most. Lines of JSONL, and Arrow
    files of `datasets`, are read in place; the texts of any other source are copied
    once to a store beside the index. A data set of the hub that the cache of `datasets`
    does not hold is streamed into the store, its text and label columns alone.

    Args:
      source: any source of `read`.
      text: column of texts.
      label: column of labels, one per text.
      split: see `read`.
      encoding: see `read`.
      cache_dir: folder of cached indices; by default a folder of `cache_folder()`.

    Returns:
      The `TextIndex`, which has no `words`.

    Raises:
      ValueError: if the source is missing, empty or malformed, a text or label is
        empty, or a text has several, with the line at fault; for more than 2,097,152
        labels, which are no classes.

    Examples:
      >>> from pathlib import Path
      >>> from metaflax.data import index_labels
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = Path(folder) / "pets.csv"
      ...     _ = path.write_text("text,label\nbarks,dog\npurrs,cat\nhowls,dog\n")
      ...     index = index_labels(path, cache_dir=folder)
      ...     for number, name in enumerate(index.labels.names):
      ...         print(name, [index.text(row) for row in index.labels.rows(number)])
      dog ['barks', 'howls']
      cat ['purrs']
    """
    index_folder = _index_folder(cache_dir)
    rows = stream_of(source, text, label, split, index_folder)
    rows = rows or _addressed.source_of(source, text, label, split, encoding)
    return _indexed(rows, ["labels"], index_folder)


def _index_folder(cache_dir: str | Path | None) -> Path:
    """Returns the folder of cached indices."""
    return Path(cache_dir) if cache_dir else cache_folder() / "texts"


class _Names(NamedTuple):
    """Settings by which the names of each row are indexed.

    Attributes:
      of: `names = of(row)`.
      keep: see `PostingsBuilder`.
      most: maximum number of names held at a time.
      crowded: `crowded(path, builder)`, called when there are more.
    """

    of: Callable[[Row], Iterable[str]]
    keep: Callable[[str, int], bool]
    most: int
    crowded: Callable[[Path, PostingsBuilder], None]


def _is_word(name: str, count: int) -> bool:
    return count >= _LEAST and any(map(str.isalpha, name))


def _label_of(row: Row) -> list[str]:
    assert row.label is not None  # The source has a column of labels.
    return [row.label]


def _refuse_labels(path: Path, builder: PostingsBuilder) -> None:
    del builder
    raise ValueError(
        f"{path}: has more than {MOST_LABELS:,} labels, too many to be classes; name"
        " another column."
    )


_KINDS: Mapping[Kind, _Names] = {
    "words": _Names(
        lambda row: words_in(row.text),
        _is_word,
        MOST_NAMES,
        lambda path, builder: builder.forget_rare(),
    ),
    "labels": _Names(_label_of, lambda name, count: True, MOST_LABELS, _refuse_labels),
}


def _indexed(source: Source, kinds: list[Kind], index_folder: Path) -> TextIndex:
    """Loads the index of a source from the cache, or builds it."""
    files = source.files()
    stamps = _addressed.stamps_of(files)  # Later writes are detected.
    digest = _addressed.digest_of(source, files, _VERSION, kinds)
    folder = index_folder / f"text-{digest}"
    read = source.read_in_place()
    stamp = Stamp.of_all(read) if read else None
    if (index := _cached(source.path, folder, stamp, read)) is not None:
        return index
    with (
        contextlib.suppress(FileExistsError),  # Another process was faster.
        atomic_folder(folder) as filled,
    ):
        _build(source, kinds, filled)
        if _addressed.stamps_of(source.files()) != stamps:
            raise ValueError(
                f"{source.path}: was written to while it was indexed; start again."
            )
    return TextIndex(source.path, folder, stamp, read)


def _cached(
    path: Path, folder: Path, stamp: Stamp | None, files: Sequence[Path]
) -> TextIndex | None:
    """Loads the index of a folder; None if there is none, or it is damaged."""
    if not folder.is_dir():
        return None
    try:
        if (folder / _DIGEST).read_text() == folder_digest(folder, {_DIGEST}):
            return TextIndex(path, folder, stamp, files)
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        pass
    shutil.rmtree(folder, ignore_errors=True)  # It is built anew from the texts.
    return None


def _build(source: Source, kinds: list[Kind], folder: Path) -> None:
    """Writes the index of a source into an empty folder."""
    scratch = folder / "scratch"
    scratch.mkdir()
    builders = [
        (
            kind,
            _KINDS[kind].of,
            PostingsBuilder(
                scratch / kind,
                _KINDS[kind].keep,
                _KINDS[kind].most,
                functools.partial(_KINDS[kind].crowded, source.path),
            ),
        )
        for kind in kinds
    ]
    chunk: list[int] = []
    row = 0
    with (folder / STARTS).open("wb") as starts:
        for line in source.rows(folder / STORE):
            for _, names, builder in builders:
                builder.add(row, names(line))
            chunk.append(line.start)
            if len(chunk) == _CHUNK:
                np.array(chunk, STARTS_TYPE).tofile(starts)
                chunk = []
            row += 1
        read = source.read_in_place() or [folder / STORE]
        np.array([*chunk, Stamp.of_all(read).size], STARTS_TYPE).tofile(starts)
    if not row:
        raise ValueError(f"{source.path}: holds no text; give at least one line.")
    for kind, _, builder in builders:
        builder.finish(folder / kind)
    shutil.rmtree(scratch)
    written = {
        "text": source.column,
        "in_place": bool(source.read_in_place()),
        "arrow": source.arrow,
        "kinds": kinds,
        "rows": row,
    }
    (folder / "index.json").write_text(json.dumps(written))
    write_digest(folder)


def write_digest(folder: Path) -> None:
    """Stores the digest of the other files of an index."""
    (folder / _DIGEST).write_text(folder_digest(folder, {_DIGEST}))
