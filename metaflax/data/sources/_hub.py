"""Rows of data sets that Hugging Face's `datasets` saved or serves."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from metaflax.data.sources._examples import listing
from metaflax.data.sources._rows import Row

_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?(:[\w.-]+)?")


def is_directory(path: Path) -> bool:
    """True for a directory; False for what is none or no path at all."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def is_file(path: Path) -> bool:
    """True for a file; False for what is none or no path at all."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_hub_name(source: str | Path, suffixes: tuple[str, ...]) -> bool:
    """True for `owner/name`, unless it ends as a file does."""
    return (
        isinstance(source, str)
        and _NAME.fullmatch(source) is not None
        and not source.lower().endswith(suffixes)
    )


def hub_rows(source: str, split: str | None) -> Iterator[Row]:
    """Yields the rows of a hub data set, `owner/name` or `owner/name:config`."""
    return _dataset_rows(_fetched(source, split), source, split, iter)


def hub_files(source: str) -> list[Path]:
    """The Arrow files that a hub data set was fetched to.

    Raises:
      ValueError: if it cannot be had, or is in memory alone.
    """
    data = _fetched(source, None)
    splits = data.values() if isinstance(data, Mapping) else [data]
    files = [Path(f["filename"]) for split in splits for f in split.cache_files]
    if not files:
        raise ValueError(
            f"{source}: is not kept on disk by `datasets`; save it by save_to_disk, and"
            " give that directory."
        )
    return files


def _fetched(source: str, split: str | None) -> Any:
    name, _, config = source.partition(":")
    return _loaded(
        source,
        lambda datasets: datasets.load_dataset(name, config or None, split=split),
        "check the name and the network, or give the path of a local file",
    )


def saved_rows(path: Path, split: str | None) -> Iterator[Row]:
    """Yields the rows of a directory written by `save_to_disk`."""
    data = _loaded(
        str(path),
        lambda datasets: datasets.load_from_disk(str(path)),
        "give a directory written by save_to_disk, or a file",
    )
    if split is not None and not isinstance(data, Mapping):
        raise ValueError(
            f"{path}: holds one data set without splits; leave split={split!r} out."
        )
    return _dataset_rows(data, str(path), split, _of_files)


def _loaded(source: str, load: Callable[[Any], Any], advice: str) -> Any:
    try:
        import datasets
    except ImportError:
        raise ValueError(
            f"{source}: reading this takes the `datasets` package; install it, or give"
            " a JSONL, CSV or Parquet file."
        ) from None
    try:
        return load(datasets)
    except Exception as error:  # Anything: hub, network, builder and Arrow errors.
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{source}: cannot be loaded ({reason}); {advice}.") from error


def _dataset_rows(
    data: Any,
    source: str,
    split: str | None,
    rows_of: Callable[[Any], Iterator[dict[str, Any]]],
) -> Iterator[Row]:
    if isinstance(data, Mapping):  # Several splits.
        if split is None and len(data) == 1:
            split = next(iter(data))
        if split not in data:
            problem = "no split is chosen" if split is None else f"no split {split!r}"
            raise ValueError(
                f"{source}: {problem}; choose one of {listing(data)} by split=."
            )
        data = data[split]
    named = {
        column: names
        for column, feature in data.features.items()
        if (names := _class_names(feature)) is not None
    }
    rows = rows_of(data)
    del data  # And what of it is mapped.
    for number, row in enumerate(rows, start=1):
        for column, names in named.items():
            row[column] = _named(row[column], names)
        yield f"{source}: row {number}", row


def _of_files(data: Any) -> Iterator[dict[str, Any]]:
    """The rows of a data set that is all of its files, a batch in memory at a time.

    What is read of a file that is mapped stays in memory as long as it is.
    """
    files = [file["filename"] for file in data.cache_files]
    return _batches(files) if files else iter(data)


def _batches(files: Sequence[str]) -> Iterator[dict[str, Any]]:
    import pyarrow as pa

    for name in files:
        with pa.OSFile(name) as file, pa.ipc.open_stream(file) as stream:
            for batch in stream:
                yield from batch.to_pylist()


def _class_names(feature: Any) -> list[str] | None:
    """The names behind a column of class numbers, alone or in lists."""
    inner = getattr(feature, "feature", feature)
    names = getattr(inner, "names", None)
    return list(names) if names else None


def _named(value: Any, names: list[str]) -> Any:
    if isinstance(value, list):
        return [_named(v, names) for v in value]
    # Numbers outside the names, -1 by custom, mean that the label is not given.
    known = isinstance(value, int) and 0 <= value < len(names)
    return names[value] if known else None
