"""Files of weights, in a folder or in a store of fsspec."""

import contextlib
import os
import time
from collections.abc import Container
from pathlib import Path
from typing import Any, Protocol


class WeightFiles(Protocol):
    """Interface for files that are written once, read and removed by name.

    All methods raise OSError, or what fsspec raises, if the store fails.
    """

    def write(self, name: str, content: bytes) -> None:
        """Writes a new file, atomically and durably."""
        ...

    def read(self, name: str) -> bytes:
        """Reads a file."""
        ...

    def remove(self, name: str) -> None:
        """Removes a file, if it exists."""
        ...

    def remove_others(self, known: Container[str], age: float) -> None:
        """Removes files at least `age` seconds old that are not in `known`."""
        ...


class Folder:
    """Folder of this machine, or a mounted one.

    Args:
      path: path of the folder, created if absent.
    """

    def __init__(self, path: Path):
        self._path = path
        path.mkdir(parents=True, exist_ok=True)

    def write(self, name: str, content: bytes) -> None:
        """Writes a temporary file, flushes and renames it.

        Unlike `atomic_write` it creates no folder: a missing one may be a mount.
        """
        scratch = self._path / f".{name}.tmp"
        try:
            with scratch.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            scratch.rename(self._path / name)
            self._flush()
        except OSError:
            scratch.unlink(missing_ok=True)
            raise

    def read(self, name: str) -> bytes:
        """Reads a file."""
        return (self._path / name).read_bytes()

    def remove(self, name: str) -> None:
        """Removes a file."""
        (self._path / name).unlink(missing_ok=True)

    def remove_others(self, known: Container[str], age: float) -> None:
        """Removes old files, including those of interrupted writes."""
        for path in self._path.glob("*"):
            with contextlib.suppress(OSError):
                old = time.time() - path.stat().st_mtime >= age
                if old and path.name not in known:
                    path.unlink()

    def _flush(self) -> None:
        descriptor = os.open(self._path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class ObjectStore:
    """Bucket or another store of fsspec, with atomic writes.

    Args:
      url: URL such as `s3://bucket/weights`.

    Raises:
      ValueError, ImportError: if fsspec does not know the store, or its package is not
        installed.
    """

    def __init__(self, url: str):
        import fsspec

        self._files: Any
        self._files, self._root = fsspec.core.url_to_fs(url)
        self._files.makedirs(self._root, exist_ok=True)

    def write(self, name: str, content: bytes) -> None:
        """Puts an object."""
        self._files.pipe_file(f"{self._root}/{name}", content)

    def read(self, name: str) -> bytes:
        """Gets an object."""
        return self._files.cat_file(f"{self._root}/{name}")

    def remove(self, name: str) -> None:
        """Deletes an object."""
        with contextlib.suppress(FileNotFoundError):
            self._files.rm_file(f"{self._root}/{name}")

    def remove_others(self, known: Container[str], age: float) -> None:
        """Deletes old objects, if the store provides their age."""
        self._files.invalidate_cache()
        for path in self._files.ls(self._root, detail=False):
            name = path.rsplit("/", 1)[-1]
            with contextlib.suppress(OSError, NotImplementedError):
                old = time.time() - self._files.modified(path).timestamp() >= age
                if old and name not in known:
                    self._files.rm_file(path)


def weight_files(place: str | Path) -> WeightFiles:
    """Returns the `WeightFiles` at a path, or at a URL `protocol://...`."""
    if "://" in str(place):
        return ObjectStore(str(place))
    return Folder(Path(place))
