"""Log sinks: a JSONL file, TensorBoard and experiment trackers."""

import importlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from metaflax import _files


class Sink(Protocol):
    """Receives every record of a run.

    Examples:
      >>> from metaflax import training
      >>> class Smallest:
      ...     loss = float("inf")
      ...     def write(self, record):
      ...         self.loss = min(self.loss, record.get("loss", self.loss))
      ...     def close(self):
      ...         print(f"smallest loss {self.loss}")
      >>> sink: training.Sink = Smallest()
      >>> for step, loss in enumerate([0.9, 0.4, 0.6]):
      ...     sink.write({"step": step, "loss": loss})
      >>> sink.close()
      smallest loss 0.4
    """

    def write(self, record: Mapping[str, Any]) -> None:
        """Takes one record; it has an integer `step`."""
        ...

    def close(self) -> None:
        """Flushes remaining records."""
        ...


class JsonlLog:
    """JSONL file with one object per record, flushed at once.

    Args:
      path: path of the file, which is appended to.
      resume_after: last step whose records are kept, so that a resumed run, which
        repeats the steps after its checkpoint, does not log them twice.

    Examples:
      >>> import pathlib, tempfile
      >>> from metaflax import training
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = pathlib.Path(folder) / "log.jsonl"
      ...     log = training.JsonlLog(path)
      ...     for step in 1, 2, 3:
      ...         log.write({"step": step, "loss": 1 / step})
      ...     log.close()
      ...     training.JsonlLog(path, resume_after=2).close()  # From a checkpoint at 2.
      ...     print(path.read_text(), end="")
      {"step": 1, "loss": 1.0}
      {"step": 2, "loss": 0.5}
    """

    def __init__(self, path: Path, *, resume_after: int = 0):
        if path.is_file():  # A pipe, for example, has no earlier records.
            lines = path.read_text().splitlines()
            kept = [line for line in lines if _step_of(line) <= resume_after]
            _files.write_text(path, "".join(f"{line}\n" for line in kept))
        self._path, self._file = path, path.open("a")

    def write(self, record: Mapping[str, Any]) -> None:
        """Appends a record.

        Raises:
          ValueError: if the disk is full.
        """
        with _files.full_disk_named(self._path):
            self._file.write(_files.json_text(record) + "\n")
            self._file.flush()

    def close(self) -> None:
        """Closes the file.

        Raises:
          ValueError: if the disk is full.
        """
        with _files.full_disk_named(self._path):
            self._file.close()


def _step_of(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except (json.JSONDecodeError, KeyError, TypeError):
        return float("inf")  # The half-written last line of a killed run.


class TensorBoardLog:
    """Log of scalars as TensorBoard events, by tensorboardX.

    Args:
      directory: directory of the run; events go to its folder `tensorboard`.

    Raises:
      ValueError: if tensorboardX is not installed.
    """

    def __init__(self, directory: Path):
        tensorboardx = _extra("tensorboardX", "tensorboard")
        self._writer = tensorboardx.SummaryWriter(str(directory / "tensorboard"))

    def write(self, record: Mapping[str, Any]) -> None:
        """Writes each number of the record under its name."""
        for name, value in _numbers_of(record).items():
            self._writer.add_scalar(name, value, record["step"])

    def close(self) -> None:
        """Flushes the events."""
        self._writer.close()


class TrackerLog:
    """Log of scalars in an experiment tracker with the interface of wandb.

    Args:
      directory: of the run; its name is the run's name.
      module: name of the library, `wandb` or `trackio`.

    Raises:
      ValueError: if the library is not installed.
    """

    def __init__(self, directory: Path, module: str):
        self._tracker = _extra(module, module)
        self._tracker.init(project="metaflax", name=directory.name)

    def write(self, record: Mapping[str, Any]) -> None:
        """Logs the numbers of the record at its step."""
        self._tracker.log(_numbers_of(record), step=record["step"])

    def close(self) -> None:
        """Ends the tracked run."""
        self._tracker.finish()


class MLflowLog:
    """Log of scalars in MLflow.

    Args:
      directory: of the run; its name is the run's name.

    Raises:
      ValueError: if MLflow is not installed.
    """

    def __init__(self, directory: Path):
        self._mlflow = _extra("mlflow", "mlflow")
        self._mlflow.start_run(run_name=directory.name)

    def write(self, record: Mapping[str, Any]) -> None:
        """Logs the numbers of the record at its step."""
        self._mlflow.log_metrics(_numbers_of(record), step=record["step"])

    def close(self) -> None:
        """Ends the tracked run."""
        self._mlflow.end_run()


def _numbers_of(record: Mapping[str, Any]) -> dict[str, float]:
    """Returns the numbers of a record by name, without its step."""
    return {
        name: value
        for name, value in record.items()
        if name != "step" and isinstance(value, int | float)
    }


def _extra(module: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ValueError(
            f"the log sink {extra} needs {module}: pip install 'metaflax[{extra}]'."
        ) from error


LOG_SINKS: dict[str, Callable[[Path], Sink]] = {
    "tensorboard": TensorBoardLog,
    "wandb": lambda directory: TrackerLog(directory, "wandb"),
    "trackio": lambda directory: TrackerLog(directory, "trackio"),
    "mlflow": MLflowLog,
}
"""Log sinks by name: `sink = make(run_directory)`."""
