"""Where metrics go: a JSONL file, and whatever else is asked for."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from metaflax import files


class Sink(Protocol):
    """Receives every record of a run."""

    def write(self, record: Mapping[str, Any]) -> None:
        """Takes one record; it has an integer `step`."""
        ...

    def close(self) -> None:
        """Flushes what is left."""
        ...


class JsonlLog:
    """One JSON object a line, flushed at once.

    Args:
      path: appended to.
      resume_after: keeps only records up to this step, so that a resumed run, which
        repeats the steps after its checkpoint, does not log them twice.
    """

    def __init__(self, path: Path, *, resume_after: int = 0):
        kept = [
            line
            for line in (path.read_text().splitlines() if path.exists() else [])
            if _step_of(line) <= resume_after
        ]
        files.write_text(path, "".join(f"{line}\n" for line in kept))
        self._file = path.open("a")

    def write(self, record: Mapping[str, Any]) -> None:
        """Appends a record."""
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def _step_of(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except (json.JSONDecodeError, KeyError, TypeError):
        return float("inf")  # The half-written last line of a killed run.


class TensorBoardLog:
    """Scalars as TensorBoard events, by tensorboardX.

    Raises:
      ValueError: if tensorboardX is not installed.
    """

    def __init__(self, directory: Path):
        try:
            import tensorboardX
        except ImportError as error:
            raise ValueError(
                "TensorBoard needs the extra: pip install 'metaflax[tensorboard]'."
            ) from error
        self._writer = tensorboardX.SummaryWriter(str(directory))

    def write(self, record: Mapping[str, Any]) -> None:
        """Writes each number of the record under its name."""
        for name, value in record.items():
            if name != "step" and isinstance(value, int | float):
                self._writer.add_scalar(name, value, record["step"])

    def close(self) -> None:
        """Flushes the events."""
        self._writer.close()
