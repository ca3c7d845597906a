"""Digests of the files of a checkpoint, stored beside them."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from metaflax import _files

NAME = "files.json"


def write(folder: Path) -> None:
    """Writes the digests of all files below a folder."""
    digests = _files.file_digests(folder)
    content = {"files": digests, "digest": json_digest(digests)}
    _files.write_text(folder / NAME, json.dumps(content, indent=1))


def difference(folder: Path, parts: Iterable[str]) -> str:
    """Compares the files of a folder with their stored digests.

    Args:
      folder: where `write` stored the digests.
      parts: names of the subfolders to compare; files beside them are always compared.

    Returns:
      A clause that names the first difference; empty if there is none, or if the
      process was killed before it stored digests.
    """
    path, parts = folder / NAME, set(parts)
    if not path.exists():
        return ""
    try:
        content = json.loads(path.read_text("utf-8"))
        digests = dict(content["files"])
        intact = content["digest"] == json_digest(digests)
    except (OSError, ValueError, KeyError, TypeError):
        intact, digests = False, {}
    if not intact:
        return f"its {NAME} is not what was saved"
    for name, expected in digests.items():
        part, _, rest = name.partition("/")
        if rest and part not in parts:
            continue
        try:
            digest = _files.file_digest(folder / name)
        except OSError:
            return f"its file {name} cannot be read"
        if digest != expected:
            return f"its file {name} is not what was saved"
    return ""


def json_digest(content: Any) -> str:
    """Computes the SHA-256 digest of JSON content, in hex."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
