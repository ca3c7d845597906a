"""Checks of the JSONL files that data preparation writes."""

from pathlib import Path


def check_new(target: Path) -> None:
    """Refuses to write over a file, or in another format than JSONL.

    Raises:
      ValueError: if the file exists, or its name does not end in .jsonl.
    """
    if target.suffix != ".jsonl":
        raise ValueError(f"{target}: the output is JSONL; name it .jsonl.")
    if target.is_file() or target.is_dir():  # Others, such as pipes, lose nothing.
        raise ValueError(f"{target} exists already; name a new file.")
