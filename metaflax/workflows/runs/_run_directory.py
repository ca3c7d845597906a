"""Run directories: config, versions, log, checkpoints and results on disk."""

import contextlib
import importlib.metadata
import json
import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

import filelock
import jax
import optax

from metaflax import _files, training
from metaflax import config as config_lib
from metaflax._wording import see
from metaflax.config._files import differences, to_json
from metaflax.config._former_defaults import with_former_defaults
from metaflax.config._names import check_file_name
from metaflax.training._interpolation import interpolate
from metaflax.training._processes import (
    barrier,
    broadcast_from_coordinator,
    is_coordinator,
)
from metaflax.workflows.runs import _data_record as data_record
from metaflax.workflows.runs import _run_files

PACKAGES = ("metaflax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "chex",
            "transformers", "datasets", "numpy")  # fmt: skip

# Files of the run itself, which results of other commands must not overwrite.
OF_RUN = ("config.json", "environment.json", "results.json", "selected.json",
          "cost.json", "profile.json", "diverged.json", "replay.json",
          "calibration.json", data_record.FILE)  # fmt: skip
# Files that are written before the config, which marks the beginning of a run.
BEFORE_CONFIG = (_run_files.ENVIRONMENT, data_record.FILE, _run_files.PRETRAINED)
# Lock file of training, which is not removed.
LOCK = ".lock"
# Folder of the run directories of the members of a mixture.
MEMBERS = "members"

C = TypeVar("C", config_lib.Config, config_lib.PretrainConfig, config_lib.MixtureConfig)


class RunDirectory(Generic[C]):
    """Folder of one run, written by the coordinator process only.

    Args:
      path: the folder.
      kind: class of the run's config.

    Examples:
      >>> import tempfile
      >>> from metaflax import workflows
      >>> workflows.RunDirectory("runs/a").log.name
      'log.jsonl'
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     workflows.RunDirectory(folder).config()
      Traceback (most recent call last):
        ...
      ValueError: ... holds no run, as it has no config.json; name ...
    """

    def __init__(self, path: str | Path, kind: type[C] = config_lib.Config):
        self._kind = kind
        self.path = Path(path).expanduser().absolute()
        self._config = self.path / "config.json"
        self._selected = self.path / "selected.json"
        self._lock = filelock.FileLock(self.path / LOCK, thread_local=False)

    @property
    def checkpoints(self) -> Path:
        """Folder of Orbax checkpoints."""
        return self.path / "checkpoints"

    @property
    def calibration(self) -> Path:
        """File of the temperature and the thresholds fitted on meta-validation."""
        return self.path / "calibration.json"

    @property
    def log(self) -> Path:
        """JSONL file of log records; see `training.JsonlLog`."""
        return self.path / "log.jsonl"

    @property
    def profile(self) -> Path:
        """Folder of profiles, for TensorBoard or Perfetto."""
        return self.path / "profile"

    def member(self, name: str) -> Path:
        """Returns the run directory of a member of a mixture.

        Raises:
          ValueError: if the name leads to another folder.
        """
        check_file_name(name)
        return self.path / MEMBERS / name

    @property
    def begun(self) -> bool:
        """True if the folder holds a run, finished or not."""
        return self._config.is_file()

    @property
    def finished(self) -> bool:
        """True if meta-training has finished."""
        return self._selected.is_file()

    def check(self, config: C) -> None:
        """Checks that a run of this config can start or resume here; writes nothing.

        Raises:
          ValueError: if the folder holds a run of another config, or other files.
        """
        if self._config.exists():
            if changed := differences(config, self.config()):
                raise ValueError(
                    f"{self.path} holds a run of another config ({'; '.join(changed)});"
                    " name another --run-dir, or the same settings to resume it."
                    + see("howto/resume")
                )
            return
        if self.path.exists() and not self._may_begin():
            raise ValueError(
                f"{self.path} exists and is no run directory; name a new one."
            )

    def _may_begin(self) -> bool:
        """Returns whether the folder has no other files than `begin` writes first."""
        return self.path.is_dir() and all(
            path.name in BEFORE_CONFIG or path.name.startswith(".")
            for path in self.path.iterdir()
        )

    @contextlib.contextmanager
    def reserved(self, config: C) -> Iterator[C]:
        """Checks the folder, and keeps other trainings out of it within the block.

        A folder with a run is locked at once, a new one by `lock`, after config and
        data were checked. The operating system releases the lock when the process ends.

        Yields:
          The config, with former defaults if the run is of an earlier version.

        Raises:
          ValueError: as `check` and `lock`.
        """
        if self._config.exists():
            config = with_former_defaults(config, self.config())
        self.check(config)
        try:
            if broadcast_from_coordinator(self._config.exists()):
                self.lock()
            with _files.full_disk_named(self.path):  # Covers all other writers.
                yield config
        finally:
            self._lock.release(force=True)

    def lock(self) -> None:
        """Locks the folder, created if absent, until the end of `reserved`.

        Raises:
          ValueError: if another training has locked it, or it cannot be written.
        """
        problem = self._lock_problem() if is_coordinator() else ""
        if broadcast_from_coordinator(bool(problem)):
            raise ValueError(f"{self.path} {problem or 'cannot be locked'}.")

    def _lock_problem(self) -> str:
        """Locks the folder; returns the reason of a failure, or an empty string."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
        except filelock.Timeout:
            return (
                "is in use by another training; wait until it ends, or name another"
                " --run-dir"
            )
        except OSError as error:
            return f"cannot be written ({error.strerror}); name another --run-dir"
        return ""

    def begin(self, config: C, prepare: Callable[[], None] = lambda: None) -> None:
        """Writes config and versions, unless a run is resumed.

        Args:
          config: config of the run.
          prepare: writes further files; called before the config is written.

        Raises:
          ValueError: as `check`.
        """
        self.check(config)
        barrier("run checked")  # All processes check before one writes.
        if is_coordinator() and not self._config.exists():
            self.path.mkdir(parents=True, exist_ok=True)
            places = {
                "run_directory": str(self.path),
                "paths": _run_files.local_paths(config),
            }
            self.write_json(_run_files.ENVIRONMENT, {**environment(), **places})
            prepare()
            _files.write_text(self._config, to_json(config))
        barrier("run begun")

    def config(self) -> C:
        """Reads the config of the run.

        Raises:
          ValueError: if there is no config, or only those of the members of a mixture.
        """
        if not self._config.is_file():
            raise ValueError(
                f"{self.path} holds no run, as it has no config.json; name the"
                f" --run-dir of a training.{see('reference/run_directory')}"
            )
        members = self.path / MEMBERS
        if self._kind is config_lib.Config and members.is_dir():
            names = sorted(path.name for path in members.iterdir())
            raise ValueError(
                f"{self.path} holds a mixture; name one of its members, such as"
                f" {members / names[0]}, of {', '.join(names)}."
            )
        try:
            text = self._config.read_text(encoding="utf-8")
            return config_lib.from_json(text, self._kind)
        except (OSError, ValueError) as error:
            if self._holds_model():
                raise ValueError(
                    f"{self.path} holds a model and no run; give the --run-dir of a"
                    " training, or predict with the model: `predict --model`."
                ) from None
            raise ValueError(f"{self._config}: {error}") from error

    def _holds_model(self) -> bool:
        """Returns whether the config is that of a model in Hugging Face's format."""
        try:
            return "model_type" in json.loads(self._config.read_text(encoding="utf-8"))
        except (OSError, ValueError, TypeError, RecursionError):
            return False  # Neither a model nor a run.

    def selected(self) -> dict[str, Any]:
        """Reads the step that was selected on validation, and the interpolation.

        Raises:
          ValueError: if the run has not finished, or the file is damaged.
        """
        if not self.finished:
            raise ValueError(
                f"{self.path} holds no finished run; finish `train` first."
            )
        match content := self.read_json(self._selected.name):
            case {"best_step": int(), "share": float() | int(), "num_classes": int()}:
                return content
        raise ValueError(
            f"{self._selected} is damaged: it names no checkpoint; let `train` write it"
            " again."
        )

    def best_params(self, start: optax.Params) -> optax.Params:
        """Reads the meta-parameters of the run with the best validation score.

        Args:
          start: meta-parameters of the run before the first step.

        Returns:
          Parameters of the same structure.

        Raises:
          ValueError: if the run has not finished.
        """
        selected = self.selected()
        checkpoints = training.Checkpoints(self.checkpoints, read_only=True)
        try:
            best = checkpoints.read_params(start, selected["best_step"])
        finally:
            checkpoints.close()
        share = selected["share"]
        return best if share == 1 else interpolate(start, best, share)

    def read_json(self, name: str) -> Any:
        """Reads a file that `write_json` wrote.

        Raises:
          ValueError: if it cannot be read.
        """
        path = self._file(name)
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise ValueError(f"{path} cannot be read as JSON: {error}") from error

    def write_json(self, name: str, content: Any) -> None:
        """Writes a JSON file atomically, in the coordinator process."""
        file = self._file(name)
        if is_coordinator():
            _files.write_json(file, content)

    @staticmethod
    def check_result_name(name: str) -> None:
        """Checks that results can be written to `NAME.json`.

        Raises:
          ValueError: if it leads to another folder, or is a file of the run itself.
        """
        check_file_name(name)
        if f"{name}.json".casefold() in OF_RUN:
            raise ValueError(
                f"{name!r} is a file of the run itself; choose another name."
            )

    def _file(self, name: str) -> Path:
        check_file_name(name.removesuffix(".json"))
        return self.path / name


def refuse_run(path: str | Path, advice: str) -> None:
    """Checks that a path of a model is not a run directory.

    Args:
      path: path of a model.
      advice: how to convert a run to such a model.

    Raises:
      ValueError: if it is a run directory.
    """
    folder = Path(path).expanduser()
    if all((folder / name).is_file() for name in ("config.json", "environment.json")):
        raise ValueError(f"{path} is a run directory and no model; {advice}.")


def environment() -> dict[str, Any]:
    """Returns versions and devices, to reproduce a run."""

    def version(package: str) -> str | None:
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            return None

    return {
        "python": platform.python_version(),
        "packages": {package: version(package) for package in PACKAGES},
        "backend": jax.default_backend(),
        "devices": [device.device_kind for device in jax.devices()],
    }
