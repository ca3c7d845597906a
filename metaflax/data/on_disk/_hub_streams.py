"""Data sets of the hub that are streamed into an index."""

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from metaflax._files import write_text
from metaflax.data.on_disk._byte_offsets import StoredRows
from metaflax.data.sources import _hub, _sources
from metaflax.data.sources._rows import Row


@dataclasses.dataclass(frozen=True)
class StreamedRows(StoredRows):
    """A data set of the hub, whose texts are copied to a store as they arrive.

    Attributes:
      version: hash of its version, in place of the digest of its files.
      stream: `rows = stream()`, its rows.
    """

    version: str = dataclasses.field(kw_only=True)
    stream: Callable[[], Iterator[Row]] = dataclasses.field(kw_only=True)

    def files(self) -> list[Path]:
        return []

    def settings(self) -> list[Any]:
        return [*super().settings(), str(self.source), self.version]

    def _labelled_rows(self) -> Iterator[Row]:
        return self.stream()


def stream_of(
    source: str | Path, text: str, label: str, split: str | None, index_folder: Path
) -> StreamedRows | None:
    """Returns the stream of a data set of the hub, without a copy as Arrow files.

    Args:
      source: see `data.read`, as are the following.
      text: column of texts.
      label: column of labels.
      split: split of the data set.
      index_folder: folder of indices, which also records the last version of a data
        set. That version is used if the hub cannot be reached: unless its index exists,
        its rows raise the error.

    Returns:
      The stream; None for a source of another kind, one in the cache of `datasets`, or
      a part of a split, which no stream has.

    Raises:
      ValueError: if there is no such data set, or the hub cannot be reached.
    """
    if not _sources.is_on_hub(source) or _hub.is_part(split):
        return None
    source = str(source)
    version_file = (
        index_folder / f"version-{hashlib.sha256(source.encode()).hexdigest()}.txt"
    )
    try:
        builder = _hub.builder_of(source)
    except ValueError as error:
        if not version_file.is_file():
            raise
        version, stream = version_file.read_text(), functools.partial(_raise, error)
    else:
        if _hub.is_prepared(builder):
            return None
        version = str(builder.hash)
        index_folder.mkdir(parents=True, exist_ok=True)
        write_text(version_file, version)
        columns = text, label
        stream = functools.partial(_hub.streamed_rows, builder, source, split, columns)
    return StreamedRows(source, text, label, split, version=version, stream=stream)


def _raise(error: ValueError) -> NoReturn:
    raise error
