"""Atomic writes, and digests of files and folders."""

import contextlib
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Literal

__all__ = [
    "atomic_folder",
    "atomic_write",
    "check_absent",
    "file_digest",
    "file_digests",
    "folder_digest",
    "write_json",
    "write_text",
]


@contextlib.contextmanager
def atomic_write(path: str | Path, mode: Literal["w", "wb"] = "w") -> Iterator[Any]:
    """Writes a file that readers see whole or not at all.

    The content goes to a file beside `path`, which replaces `path` once the body of
    the `with` statement is done, and is removed where the body raises.

    Args:
      path: of the file; missing folders on the way are created.
      mode: `w` for text in UTF-8, `wb` for bytes.

    Yields:
      The open file.

    Raises:
      ValueError: if the folder of the file cannot be written.

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
    encoding = None if "b" in mode else "utf-8"
    with _scratch_path(path) as scratch:
        with _naming(path.parent):
            file = scratch.open(mode.replace("w", "x"), encoding=encoding)
        with file:
            yield file
        scratch.replace(path)


@contextlib.contextmanager
def atomic_folder(folder: str | Path) -> Iterator[Path]:
    """Fills a new folder that readers see whole or not at all.

    Args:
      folder: which does not exist, or is empty; missing parents are created.

    Yields:
      An empty folder beside it, which is renamed to `folder` once the body of the
      `with` statement is done, and removed where the body raises.

    Raises:
      ValueError: if the parent folder cannot be written.
      FileExistsError: if something else came to lie at `folder` in the meantime.

    Examples:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as parent:
      ...     with atomic_folder(Path(parent) / "model") as folder:
      ...         write_text(folder / "config.json", "{}")
      ...     sorted(path.name for path in Path(parent).rglob("*"))
      ['config.json', 'model']
    """
    folder = Path(folder)
    with _scratch_path(folder) as scratch:
        with _naming(folder.parent):
            scratch.mkdir()
        yield scratch
        try:
            os.rename(scratch, folder)
        except OSError as error:
            if folder.exists():
                raise FileExistsError(f"{folder} exists already.") from error
            raise


def write_text(path: str | Path, text: str) -> None:
    """Writes a text file atomically, in UTF-8; see `atomic_write`."""
    with atomic_write(path) as file:
        file.write(text)


def write_json(path: str | Path, content: Any) -> None:
    """Writes a JSON file atomically, indented; see `atomic_write`."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def check_absent(folder: str | Path) -> None:
    """Refuses to write a new folder over anything but an empty one.

    Raises:
      ValueError: if there is a file, or a folder that holds something.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} exists already; name a new directory.")


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


@contextlib.contextmanager
def _scratch_path(path: Path) -> Iterator[Path]:
    """An unused path beside `path`; whatever is left there at the end is removed."""
    with _naming(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield scratch
    finally:
        if scratch.is_dir():
            shutil.rmtree(scratch, ignore_errors=True)
        else:
            scratch.unlink(missing_ok=True)


@contextlib.contextmanager
def _naming(folder: Path) -> Iterator[None]:
    """Raises a sentence where `folder` cannot be written."""
    try:
        yield
    except OSError as error:
        raise ValueError(
            f"{folder}: cannot be written ({error.strerror}); name another folder."
        ) from error
