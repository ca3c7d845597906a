"""Folders of files that are, to the bit, what they were when they were made."""

import hashlib
from pathlib import Path

_SEAL = "sha256"


def seal(folder: Path) -> None:
    """Writes the digest of all files of a folder beside them.

    Examples:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as name:
      ...     _ = (Path(name) / "rows").write_text("1 2 3")
      ...     seal(Path(name))
      ...     check_seal(Path(name))
      ...     _ = (Path(name) / "rows").write_text("1 2 4")
      ...     check_seal(Path(name))
      Traceback (most recent call last):
      ValueError: ... is damaged: it is not what was written there.
    """
    (folder / _SEAL).write_text(_digest(folder))


def check_seal(folder: Path) -> None:
    """Reads a folder whole, at the speed of the disk, and compares the digest.

    Raises:
      ValueError: if it is another.
      OSError: if there is none.
    """
    if (folder / _SEAL).read_text() != _digest(folder):
        raise ValueError(f"{folder} is damaged: it is not what was written there.")


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path != folder / _SEAL:
            name = path.relative_to(folder).as_posix()
            with path.open("rb") as file:
                own = hashlib.file_digest(file, "sha256").hexdigest()
            digest.update(f"{name} {own}\n".encode())
    return digest.hexdigest()
