"""Digests of the files of a folder, written beside them."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

NAME = "files.json"


def write(folder: Path) -> None:
    """Writes down the digests of all files below a folder."""
    found = {
        path.relative_to(folder).as_posix(): _digest(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    content = {"files": found, "digest": _of(found)}
    scratch = folder.with_name(f".{folder.name}.{NAME}")
    scratch.write_text(json.dumps(content, indent=1), encoding="utf-8")
    scratch.replace(folder / NAME)


def difference(folder: Path, parts: Iterable[str]) -> str:
    """How files differ from what was written down of them.

    Args:
      folder: where `write` left its list.
      parts: names of folders in it that matter; files beside them do always.

    Returns:
      A few words; none if there is no difference, and where nothing was written down,
      as by a process that was killed before.
    """
    path, parts = folder / NAME, set(parts)
    if not path.exists():
        return ""
    try:
        content = json.loads(path.read_text("utf-8"))
        files = dict(content["files"])
        intact = content["digest"] == _of(files)
    except (OSError, ValueError, KeyError, TypeError):
        intact, files = False, {}
    if not intact:
        return f"its {NAME} is not what was saved"
    for name, expected in files.items():
        part, _, rest = name.partition("/")
        if rest and part not in parts:
            continue
        try:
            found = _digest(folder / name)
        except OSError:
            return f"its file {name} cannot be read"
        if found != expected:
            return f"its file {name} is not what was saved"
    return ""


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # pyright: ignore


def _of(files: dict[str, str]) -> str:
    text = json.dumps(files, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
