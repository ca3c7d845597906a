"""Atomic writes, and digests of files and folders."""

import contextlib
import errno
import hashlib
import json
import math
import os
import shutil
import stat
import uuid
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Literal

__all__ = [
    "atomic_folder",
    "atomic_write",
    "cache_folder",
    "check_absent",
    "file_digest",
    "file_digests",
    "folder_digest",
    "full_disk_named",
    "json_text",
    "remove_unfinished",
    "temporary_folder",
    "write_json",
    "write_text",
]


# Errors of a disk, a quota or a limit of file sizes that is exhausted.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Scratch paths of writers that have not finished.
_unfinished: set[Path] = set()


@contextlib.contextmanager
def atomic_write(path: str | Path, mode: Literal["w", "wb"] = "w") -> Iterator[Any]:
    """Writes a file that readers see whole or not at all.

    The content goes to a file beside `path`, which replaces `path` once the body of
    the `with` statement is done, and is removed where the body raises. Symbolic links
    are followed, and a file that is replaced keeps its permissions. Only a regular
    file can be replaced: into a pipe, a device or an open descriptor such as
    `/dev/stdout` the content is written as it comes.

    Args:
      path: path of the file; missing folders on the way are created.
      mode: `w` for text in UTF-8, `wb` for bytes.

    Yields:
      The open file.

    Raises:
      ValueError: if the path is a folder, or it or its folder cannot be written.

    Examples:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = Path(folder) / "scores.txt"
      ...     with atomic_write(path) as file:
      ...         _ = file.write("0.5")
      ...     path.read_text()
      '0.5'
    """
    path = Path(path)
    if (stream := _stream(path)) is not None:
        with full_disk_named(path), _opened(stream, mode, path, "file") as file:
            yield file
        return
    target = _linked(path)
    with _scratch_path(target) as scratch:
        with _opened(scratch, mode.replace("w", "x"), target.parent) as file:
            yield file
        if target.exists():
            shutil.copymode(target, scratch)
        scratch.replace(target)


@contextlib.contextmanager
def atomic_folder(folder: str | Path) -> Iterator[Path]:
    """Fills a new folder that readers see whole or not at all.

    Args:
      folder: folder that does not exist or is empty; missing parents are created, and
        symbolic links are followed.

    Yields:
      An empty folder beside it, which is renamed to `folder` once the body of the
      `with` statement is done, and removed where the body raises. Its content is moved
      one by one into an empty folder that cannot be replaced, such as the mount point
      of a volume.

    Raises:
      ValueError: if the parent folder cannot be written.
      FileExistsError: if `folder` was created by others in the meantime.

    Examples:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as parent:
      ...     with atomic_folder(Path(parent) / "model") as folder:
      ...         write_text(folder / "config.json", "{}")
      ...     sorted(path.name for path in Path(parent).rglob("*"))
      ['config.json', 'model']
    """
    folder = _linked(Path(folder))
    with _scratch_path(folder) as scratch:
        with _naming(folder.parent):
            scratch.mkdir()
        yield scratch
        try:
            os.rename(scratch, folder)
        except OSError as error:
            if not folder.exists():
                raise
            if not folder.is_dir() or any(folder.iterdir()):
                raise FileExistsError(f"{folder} exists already.") from error
            for path in list(scratch.iterdir()):
                shutil.move(path, folder)


@contextlib.contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """Yields an empty folder beside `path`, which is removed after the body.

    Unlike one of `tempfile`, it is removed too where the command ends on an interrupt.

    Args:
      path: path in an existing folder.

    Examples:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as parent:
      ...     with temporary_folder(Path(parent) / "model") as folder:
      ...         write_text(folder / "archive", "")
      ...     list(Path(parent).iterdir())
      []
    """
    with _removed_afterwards(_beside(path)) as folder:
        folder.mkdir()
        yield folder


def write_text(path: str | Path, text: str) -> None:
    """Writes a text file atomically, in UTF-8; see `atomic_write`."""
    with atomic_write(path) as file:
        file.write(text)


def write_json(path: str | Path, content: Any) -> None:
    """Writes a JSON file atomically, indented; see `atomic_write` and `json_text`."""
    write_text(path, json_text(content, indent=2) + "\n")


def json_text(content: Any, **options: Any) -> str:
    """Formats JSON, in which numbers that are not finite are null, as in JavaScript.

    Args:
      content: what JSON can hold, and NaN and infinities.
      **options: options of `json.dumps`.

    Examples:
      >>> json_text({"mean": 0.5, "half_width": float("inf")})
      '{"mean": 0.5, "half_width": null}'
    """
    return json.dumps(_with_nulls(content), allow_nan=False, **options)


def _with_nulls(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _with_nulls(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_with_nulls(value) for value in content]
    finite = not isinstance(content, float) or math.isfinite(content)
    return content if finite else None


def cache_folder() -> Path:
    """Returns the cache folder: `$METAFLAX_CACHE`, or the user's cache directory.

    Examples:
      >>> import os
      >>> from unittest import mock
      >>> from metaflax import data
      >>> with mock.patch.dict(os.environ, METAFLAX_CACHE="/tmp/cache"):
      ...     data.cache_folder().name
      'cache'
    """
    if folder := os.environ.get("METAFLAX_CACHE"):
        return Path(folder).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().absolute() / "metaflax"


def check_absent(folder: str | Path) -> None:
    """Refuses to write a new folder over anything but an empty one.

    Raises:
      ValueError: if there is a file, or a folder that holds something, or no folder can
        be made there.
    """
    folder = _linked(Path(folder))
    parent = next(path for path in folder.absolute().parents if path.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        problem = "cannot be written" if parent.is_dir() else "is a file"
        raise ValueError(f"{folder}: {parent} {problem}; name another directory.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} exists already; name a new directory.")


@contextlib.contextmanager
def full_disk_named(path: str | Path) -> Iterator[None]:
    """Raises an error that names `path` if the disk becomes full.

    The operating system's error names no file, or the source of a copy.

    Raises:
      ValueError: with the path, if the body fails since there is no space left.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise ValueError(
            f"{path}: cannot be written ({error.strerror}); free some space, and start"
            " again."
        ) from error


def remove_unfinished() -> None:
    """Removes unfinished files, before the process ends without an exception."""
    for scratch in list(_unfinished):
        with contextlib.suppress(OSError):
            _remove(scratch)


def file_digest(path: str | Path) -> str:
    """Computes the SHA-256 digest of a file, in hex."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # pyright: ignore


def file_digests(folder: Path, exclude: Collection[str] = ()) -> dict[str, str]:
    """Computes the digests of all files below a folder.

    Args:
      folder: where to look.
      exclude: paths in the folder that are left out.

    Returns:
      Digests by path in the folder, in order; folders are separated by `/`.
    """
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    names = [path.relative_to(folder).as_posix() for path in paths]
    return {name: file_digest(folder / name) for name in names if name not in exclude}


def folder_digest(folder: Path, exclude: Collection[str] = ()) -> str:
    """Computes one digest of the names and contents of all files below a folder.

    Args:
      folder: where to look.
      exclude: paths in the folder that are left out.

    Returns:
      A SHA-256 digest in hex.

    Examples:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as name:
      ...     write_text(Path(name) / "rows", "1 2 3")
      ...     folder_digest(Path(name))[:8]
      '3801112e'
    """
    lines = [f"{name} {it}\n" for name, it in file_digests(folder, exclude).items()]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _stream(path: Path) -> Path | int | None:
    """Returns what to open to write to `path` directly; None for a regular file.

    Raises:
      ValueError: if it is a folder, or cannot be looked at.
    """
    if (number := _descriptor(path)) is not None:
        with _naming(path, "file"):
            return os.dup(number)  # Opened by name, a file would be truncated.
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _unwritable(path, "file", error) from error
    if stat.S_ISDIR(mode):
        raise ValueError(f"{path} is a folder; name a file.")
    return None if stat.S_ISREG(mode) else path


def _descriptor(path: Path) -> int | None:
    """Returns the descriptor of this process that `/dev/stdout` or the like names."""
    open_files = os.path.realpath("/dev/fd")
    for _ in range(8):  # Links on the way to /dev/fd/1 or /proc/self/fd/1.
        if os.path.realpath(path.parent) == open_files and path.name.isdecimal():
            return int(path.name)
        if not path.is_symlink():
            return None
        path = path.parent / path.readlink()
    return None


def _linked(path: Path) -> Path:
    """Follows symbolic links, even to what does not exist yet.

    Raises:
      ValueError: if they lead in a circle.
    """
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise ValueError(f"{path} is a symbolic link to itself; name another path.")
    return target


@contextlib.contextmanager
def _scratch_path(path: Path) -> Iterator[Path]:
    """Yields an unused path beside `path`; whatever is left there is then removed."""
    with _naming(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    with _removed_afterwards(_beside(path)) as scratch, full_disk_named(path):
        yield scratch


def _beside(path: Path) -> Path:
    """Returns an unused path beside `path`."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")


@contextlib.contextmanager
def _removed_afterwards(scratch: Path) -> Iterator[Path]:
    """Yields a path, and removes it after the body or on an interrupt."""
    _unfinished.add(scratch)
    try:
        yield scratch
    finally:
        _remove(scratch)
        _unfinished.discard(scratch)


def _remove(scratch: Path) -> None:
    if scratch.is_dir():
        shutil.rmtree(scratch, ignore_errors=True)
    else:
        scratch.unlink(missing_ok=True)


def _opened(path: Path | int, mode: str, place: Path, kind: str = "folder") -> Any:
    """Opens a file to write to; errors name `place`."""
    with _naming(place, kind):
        return open(path, mode, encoding=None if "b" in mode else "utf-8")


@contextlib.contextmanager
def _naming(path: Path, kind: str = "folder") -> Iterator[None]:
    """Raises a sentence where `path` cannot be written."""
    try:
        yield
    except OSError as error:
        raise _unwritable(path, kind, error) from error


def _unwritable(path: Path, kind: str, error: OSError) -> ValueError:
    reason = error.strerror or error
    return ValueError(f"{path}: cannot be written ({reason}); name another {kind}.")
