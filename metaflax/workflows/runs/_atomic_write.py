"""Files that are there once they are whole."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO


def check_new(target: Path) -> None:
    """Refuses to write over a file, or another format than JSONL.

    Raises:
      ValueError: if there is a file, or its name says another format.
    """
    if target.suffix != ".jsonl":
        raise ValueError(f"{target}: what is written is JSONL; name it .jsonl.")
    if target.exists():
        raise ValueError(f"{target} exists already; name a new file.")


@contextlib.contextmanager
def appearing(target: Path) -> Iterator[IO[str]]:
    """A file that is there once it is whole, and of which else nothing is left."""
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_name(target.name + ".tmp")
    try:
        with scratch.open("w", encoding="utf-8") as file:
            yield file
        scratch.replace(target)
    finally:
        scratch.unlink(missing_ok=True)
