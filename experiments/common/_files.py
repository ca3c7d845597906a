"""The folder of data sets, files of JSON, and digests of files."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from metaflax import data
from metaflax._files import file_digest, folder_digest, write_text

__all__ = [
    "data_folder",
    "file_digest",
    "folder_digest",
    "read_jsonl",
    "write_json",
    "write_jsonl",
    "write_text",
]


def data_folder() -> Path:
    """The folder of data sets: the variable `METAFLAX_DATA`, or `data`."""
    return Path(os.environ.get("METAFLAX_DATA", "data"))


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Reads the rows of a JSONL file.

    Raises:
      ValueError: as `data.read_rows`, naming file and line.
    """
    return [row for _, row in data.read_rows(path)]


def write_jsonl(path: Path, rows: Iterable[object], *, ascii: bool = True) -> int:
    """Writes a JSON value a line, making folders; returns the number of rows.

    Args:
      path: the file to write.
      rows: the values.
      ascii: whether other characters are escaped.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(row, ensure_ascii=ascii) + "\n" for row in rows]
    path.write_text("".join(lines), "utf-8")
    return len(lines)


def write_json(path: Path, content: object) -> None:
    """Writes one JSON value, indented and atomically, making folders."""
    write_text(path, json.dumps(content, indent=1) + "\n")
