"""Rows of data sets of Hugging Face's `datasets`, from disk or the hub."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from metaflax.data.sources._class_labels import class_names, named
from metaflax.data.sources._examples import listing
from metaflax.data.sources._rows import Row

_HUB_ADVICE = "check the name and the network, or give the path of a local file"
_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?(:[\w.-]+)?")


def is_directory(path: Path) -> bool:
    """Returns whether `path` is a directory; False for an invalid path."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def is_file(path: Path) -> bool:
    """Returns whether `path` is a file; False for an invalid path."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_hub_name(source: str | Path, suffixes: tuple[str, ...]) -> bool:
    """Returns whether `source` has the form `owner/name` and no suffix of a file."""
    return (
        isinstance(source, str)
        and _NAME.fullmatch(source) is not None
        and not source.lower().endswith(suffixes)
    )


def is_saved(path: Path) -> bool:
    """Returns whether `path` is a directory written by `save_to_disk`."""
    names = ("dataset_dict.json", "state.json", "dataset_info.json")
    return is_directory(path) and any(is_file(path / name) for name in names)


def hub_rows(source: str, split: str | None) -> Iterator[Row]:
    """Yields the rows of a hub data set, `owner/name` or `owner/name:config`."""
    return _dataset_rows(fetched(source, split), source, split, iter)


def hub_files(source: str) -> list[Path]:
    """Lists the Arrow files of a downloaded hub data set.

    Raises:
      ValueError: if it cannot be downloaded, or is in memory only.
    """
    data = fetched(source, None)
    splits = data.values() if isinstance(data, Mapping) else [data]
    files = [Path(f["filename"]) for split in splits for f in split.cache_files]
    if not files:
        raise ValueError(
            f"{source}: `datasets` does not cache it on disk; save it by save_to_disk,"
            " and give that directory."
        )
    return files


def fetched(source: str, split: str | None) -> Any:
    """Loads a hub data set."""
    name, _, config = source.partition(":")
    return _loaded(
        source,
        lambda datasets: datasets.load_dataset(name, config or None, split=split),
        _HUB_ADVICE,
    )


def builder_of(source: str) -> Any:
    """Looks a hub data set up, without loading its rows.

    Raises:
      ValueError: if there is none, or the hub cannot be reached.
    """
    name, _, config = source.partition(":")
    return _loaded(
        source,
        lambda datasets: datasets.load_dataset_builder(name, config or None),
        _HUB_ADVICE,
    )


def is_prepared(builder: Any) -> bool:
    """Returns whether the cache of `datasets` holds the data set, as Arrow files."""
    return is_saved(Path(builder.cache_dir))


def streamed_rows(
    builder: Any, source: str, split: str | None, columns: Sequence[str]
) -> Iterator[Row]:
    """Yields the rows of a hub data set as they arrive; nothing is kept of them.

    Args:
      builder: builder of the data set.
      source: its name in messages.
      split: see `_split_of`.
      columns: the columns that are read; others need not be fetched or decoded.

    Raises:
      ValueError: if it has no such split, or the stream breaks off.
    """
    splits = _loaded(source, lambda _: builder.as_streaming_dataset(), _HUB_ADVICE)

    def rows_of(data: Any) -> Iterator[dict[str, Any]]:
        if set(columns) <= set(data.features or ()):
            data = data.select_columns(list(columns))
        number = 0
        try:
            for row in data:
                yield row
                number += 1
        except Exception as error:  # Any error of the network or of a file's format.
            raise ValueError(
                f"{source}: the stream broke off after row {number}"
                f" ({_first_line(error)}); start again."
            ) from error

    return _dataset_rows(splits, source, split, rows_of)


def saved_rows(path: Path, split: str | None) -> Iterator[Row]:
    """Yields the rows of a directory written by `save_to_disk`."""
    return _dataset_rows(saved(path, split), str(path), split, _of_files)


def saved(path: Path, split: str | None) -> Any:
    """Loads a directory written by `save_to_disk`."""
    data = _loaded(
        str(path),
        lambda datasets: datasets.load_from_disk(str(path)),
        "give a directory written by save_to_disk, or a file",
    )
    if split is not None and not isinstance(data, Mapping):
        raise ValueError(
            f"{path}: holds one data set without splits; leave split={split!r} out."
        )
    return data


def is_part(split: str | None) -> bool:
    """Returns whether a split is a part or a union of splits, as `train[:10%]` is."""
    return split is not None and ("[" in split or "+" in split)


def arrow_files(
    data: Any, source: str, split: str | None
) -> tuple[list[Path], dict[str, list[str]]] | None:
    """Returns the Arrow files of a data set and its names of classes.

    None for one in memory, or whose rows are chosen from those of its files.
    """
    data = _split_of(data, source, split)
    files = [Path(file["filename"]) for file in data.cache_files]
    if not files or is_part(split) or getattr(data, "_indices", None) is not None:
        return None
    return files, class_names(data.features)


def _loaded(source: str, load: Callable[[Any], Any], advice: str) -> Any:
    try:
        import datasets
    except ImportError:
        raise ValueError(
            f"{source}: reading this needs the `datasets` package; install it, or give"
            " a JSONL, CSV or Parquet file."
        ) from None
    try:
        return load(datasets)
    except Exception as error:  # Any error of the hub, the network, a builder or Arrow.
        raise ValueError(
            f"{source}: cannot be loaded ({_first_line(error)}); {advice}."
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _dataset_rows(
    data: Any,
    source: str,
    split: str | None,
    rows_of: Callable[[Any], Iterator[dict[str, Any]]],
) -> Iterator[Row]:
    data = _split_of(data, source, split)
    columns = class_names(data.features or {})  # A stream may not know them.
    rows = rows_of(data)
    del data  # Releases its memory maps.
    for number, row in enumerate(rows, start=1):
        for column, names in columns.items():
            row[column] = named(row[column], names)
        yield f"{source}: row {number}", row


def _split_of(data: Any, source: str, split: str | None) -> Any:
    """Returns a split of a data set, its only one by default."""
    if isinstance(data, Mapping):  # Several splits.
        if split is None and len(data) == 1:
            split = next(iter(data))
        if split not in data:
            problem = "no split is given" if split is None else f"no split {split!r}"
            raise ValueError(
                f"{source}: {problem}; choose one of {listing(data)} by split= or"
                " --split."
            )
        data = data[split]
    return data


def _of_files(data: Any) -> Iterator[dict[str, Any]]:
    """Yields the rows of all files of a data set, with one batch in memory at a time.

    Pages read of a memory-mapped file would stay in memory as long as it is mapped.
    """
    files = [file["filename"] for file in data.cache_files]
    return _batches(files) if files else iter(data)


def _batches(files: Sequence[str]) -> Iterator[dict[str, Any]]:
    import pyarrow as pa

    for name in files:
        with pa.OSFile(name) as file, pa.ipc.open_stream(file) as stream:
            for batch in stream:
                yield from batch.to_pylist()
