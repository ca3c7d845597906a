"""Orbax checkpoints: the two latest and the best, each with digests."""

import concurrent.futures
import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax
import orbax.checkpoint as ocp

from metaflax.training import _manifest, _processes
from metaflax.training._digest import digest, layout
from metaflax.training._mesh import is_key
from metaflax.training._state import TrainState
from metaflax.training._stopping import Stopping

# Folder for damaged checkpoints, next to that of the checkpoints.
DAMAGED = "damaged"


class DamagedError(ValueError):
    """Raised for a checkpoint that cannot be read or differs from the saved one."""


class Checkpoints:
    """Checkpoints of one run.

    Each checkpoint holds the `TrainState` and a JSON record with the state of early
    stopping and digests of all arrays. Reading verifies these and digests of the files.
    Saving is atomic and asynchronous: a killed process leaves an unfinished folder that
    the next start ignores. Processes that train together open the same folder and have
    to make the same calls.

    Args:
      directory: directory of the checkpoints; created if absent.
      read_only: whether to forbid saving and deleting.

    Examples:
      >>> import pathlib, tempfile
      >>> import jax, jax.numpy as jnp, optax
      >>> from metaflax import training
      >>> params = {"w": jnp.full(3, 7.0)}
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     checkpoints = training.Checkpoints(pathlib.Path(folder))
      ...     _ = training.fit(  # Of no step: it validates and saves the start.
      ...         step_fn=lambda state, tasks: (state, {}),
      ...         state=training.create(params, optax.sgd(0.1), jax.random.key(0)),
      ...         tasks_from=lambda step: iter(()),
      ...         validate=lambda params: {"accuracy": 0.5},
      ...         checkpoints=checkpoints,
      ...         score="accuracy",
      ...         num_steps=0,
      ...         eval_every=1,
      ...     )
      ...     print(checkpoints.steps(), checkpoints.read_params(params, 0)["w"])
      ...     checkpoints.close()
      [0] [7. 7. 7.]
    """

    def __init__(self, directory: Path, *, read_only: bool = False):
        managers = ocp.checkpoint_managers
        self._directory = directory.absolute()
        self._manager = ocp.CheckpointManager(
            self._directory,
            options=ocp.CheckpointManagerOptions(
                # `best_fn` with `max_to_keep` would delete the newest steps while
                # the score falls, from which a run resumes.
                preservation_policy=managers.AnyPreservationPolicy(
                    [managers.LatestN(2), managers.BestN(get_metric_fn=_rank, n=1)]
                ),
                create=not read_only,
                read_only=read_only,
            ),
            item_handlers={
                # Compression reduces trained weights by only a tenth, and takes CPU
                # time from the following steps.
                "params": ocp.PyTreeCheckpointHandler(use_compression=False),
                "rest": ocp.PyTreeCheckpointHandler(use_compression=False),
                "record": ocp.JsonCheckpointHandler(),
            },
        )
        # On accelerators Orbax copies arrays before its `save` returns, and processes
        # that train together exchange messages; both need the caller's thread.
        self._copies = jax.default_backend() == "cpu"
        alone = self._copies and jax.process_count() == 1
        self._thread = concurrent.futures.ThreadPoolExecutor(1) if alone else None
        self._pending: int | None = None
        self._writing: concurrent.futures.Future[None] | None = None

    def save(self, state: TrainState, stopping: Stopping, score: float) -> None:
        """Starts to write a copy of `state` under its step.

        Raises:
          ValueError: if this or the previous checkpoint could not be written (older
            ones are complete), or the parameters are a single array and not a tree.
        """
        if jax.tree.structure(state.params) == jax.tree.structure(0):
            raise ValueError(
                "the parameters are one array, and a checkpoint holds a tree; put it in"
                ' a dictionary, such as {"w": array}.'
            )
        self.wait()
        self._pending = int(state.step)
        self._write(lambda: _check_space(self._directory, state))
        if self._copies:  # The next step overwrites the memory of the state.
            state = jax.tree.map(jnp.copy, state)
        if self._thread is None:
            self._write(lambda: self._save(state, stopping, score))
        else:
            self._writing = self._thread.submit(self._save, state, stopping, score)

    def _save(self, state: TrainState, stopping: Stopping, score: float) -> None:
        """Passes the state and its record to Orbax, which writes in threads."""
        parts, step = _parts(state), int(state.step)
        record: dict[str, Any] = {
            "stopping": stopping._asdict(),
            "layouts": {name: layout(part) for name, part in parts.items()},
            "digests": {name: digest(part) for name, part in parts.items()},
        }
        record["digest"] = _manifest.json_digest(record)
        items = ocp.args.Composite(
            # Stored separately, since meta-testing reads nothing else.
            params=ocp.args.PyTreeSave(parts["params"]),
            rest=ocp.args.PyTreeSave(parts["rest"]),
            record=ocp.args.JsonSave(record),
        )
        self._manager.save(step, args=items, metrics={"score": score, "step": step})
        if self._thread is not None:
            self._finish(step)

    def _finish(self, step: int) -> None:
        """Waits until a step is on disk, and writes the digests of its files."""
        self._manager.wait_until_finished()
        if _processes.is_coordinator():
            _manifest.write(self._path(step))
        _processes.barrier("checkpoint")

    def wait(self) -> None:
        """Waits until the last checkpoint is on disk.

        Raises:
          ValueError: if it cannot be written; older checkpoints are complete.
        """
        if self._pending is None:
            return
        if self._writing is None:
            step = self._pending
            self._write(lambda: self._finish(step))
        else:
            writing, self._writing = self._writing, None
            self._write(writing.result)
        self._pending = None

    def _write(self, action: Callable[[], Any]) -> None:
        step = self._pending
        try:
            action()
        except Exception as error:  # Orbax raises various types for a full disk.
            self._pending = None
            raise ValueError(
                f"{self._directory / str(step)} could not be written"
                f" ({_reason(error)}); older checkpoints are complete. Free"
                " some space, and start again to resume from the latest."
            ) from error

    def latest_step(self) -> int | None:
        """Returns the newest step, or None."""
        self.wait()
        return self._manager.latest_step()

    def steps(self) -> list[int]:
        """Returns all steps, the oldest first."""
        self.wait()
        return sorted(self._manager.all_steps())

    def quarantine_damaged(
        self, like: TrainState, log: Callable[[str], None]
    ) -> int | None:
        """Moves damaged checkpoints to a folder `damaged` next to the checkpoints.

        A checkpoint whose best step is damaged is moved too, since a run resumed from
        it could not return the best parameters.

        Args:
          like: a state of the expected structure, shapes and types.
          log: called with a sentence for each damaged checkpoint.

        Returns:
          The newest step that remains, or None.

        Raises:
          ValueError: if an intact checkpoint holds arrays of other shapes or types.
        """
        for step in reversed(self.steps()):
            try:
                _, stopping = self.restore(like, step)
                if stopping.best_step != step:
                    self.read_params(like.params, stopping.best_step)
                return step
            except DamagedError as error:
                moved = self._quarantine(step)
                log(f"{error}; it is ignored, and was moved to {moved}")
        return None

    def restore(self, like: TrainState, step: int) -> tuple[TrainState, Stopping]:
        """Reads a step into the structure, shapes and types of `like`.

        Raises:
          DamagedError: if it differs from what was saved.
          ValueError: if its structure, shapes or types differ from those of `like`.
        """
        content = self._read(step, _parts(like))
        state = content["rest"]._replace(params=content["params"])
        return state, Stopping(**content["record"]["stopping"])

    def read_params(self, like: optax.Params, step: int) -> optax.Params:
        """Reads only the meta-parameters of a step, in the structure of `like`.

        Raises:
          DamagedError: as for `restore`.
          ValueError: as for `restore`.
        """
        return self._read(step, {"params": like})["params"]

    def close(self) -> None:
        """Waits for the last checkpoint, and frees threads.

        Raises:
          ValueError: as for `wait`.
        """
        try:
            self.wait()
        finally:
            if self._thread is not None:
                self._thread.shutdown()
            with contextlib.suppress(Exception):  # It raises the same error again.
                self._manager.close()

    def _read(self, step: int, like: Mapping[str, Any]) -> dict[str, Any]:
        record = self._record(step)
        for name, part in like.items():
            self._check_layout(step, record["layouts"][name], layout(part))
        targets = {name: _target(part) for name, part in like.items()}
        content = self._restore_items(step, **targets)
        for name in like:
            if digest(content[name]) != record["digests"][name]:
                raise DamagedError(
                    f"{self._path(step)} is damaged: its {name} are not what was saved"
                )
        return {**content, "record": record}

    def _record(self, step: int) -> dict[str, Any]:
        record = self._restore_items(step, record=ocp.args.JsonRestore())["record"]
        expected = record.pop("digest", None) if isinstance(record, dict) else None
        if expected is None or expected != _manifest.json_digest(record):
            raise DamagedError(
                f"{self._path(step)} is damaged: its record is not what was saved"
            )
        return record

    def _restore_items(self, step: int, **items: Any) -> dict[str, Any]:
        self.wait()
        self._check_files(step, items)
        try:
            args = ocp.args.Composite(**items)
            content: Any = self._manager.restore(step, args=args)
            return {name: content[name] for name in items}
        except (MemoryError, PermissionError):
            raise  # A problem of the machine, not of the checkpoint.
        except Exception as error:  # Orbax raises various types for a damaged file.
            raise DamagedError(
                f"{self._path(step)} is damaged and cannot be read"
                f" ({_first_line(error)})"
            ) from error

    def _check_files(self, step: int, items: Iterable[str]) -> None:
        """Verifies files before Orbax opens them: it leaks threads on damaged ones."""
        difference = ""
        if _processes.is_coordinator():
            difference = _manifest.difference(self._path(step), items)
        if _processes.broadcast_from_coordinator(bool(difference)):
            message = f"{self._path(step)} is damaged: {difference}"
            raise DamagedError(message.rstrip(": "))

    def _check_layout(
        self, step: int, saved: Mapping[str, str], expected: Mapping[str, str]
    ) -> None:
        differences = [
            f"{path} is {saved.get(path, 'absent')}, not {expected.get(path, 'absent')}"
            for path in sorted({*saved, *expected})
            if saved.get(path) != expected.get(path)
        ]
        if differences:
            shown, more = differences[:3], len(differences) - 3
            raise ValueError(
                f"{self._path(step)} holds other arrays: {'; '.join(shown)}"
                + (f"; and {more} more" if more > 0 else "")
            )

    def _quarantine(self, step: int) -> Path:
        folder = self._directory.with_name(DAMAGED)
        folder.mkdir(exist_ok=True)
        target = folder / f"{step}-{len(list(folder.iterdir()))}"
        if _processes.is_coordinator():
            self._path(step).rename(target)
        _processes.barrier("quarantine")
        self._manager.reload()
        return target

    def _path(self, step: int) -> Path:
        return self._directory / str(step)


def _parts(state: TrainState) -> dict[str, Any]:
    return {"params": state.params, "rest": state._replace(params=None)}


def _check_space(directory: Path, state: TrainState) -> None:
    """Raises OSError if the disk has no space for the arrays; allocates nothing."""
    leaves = jax.tree.leaves(state)
    if shutil.disk_usage(directory).free < sum(leaf.nbytes for leaf in leaves):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _first_line(error: Exception) -> str:
    """Returns the first line of an error message, shortened."""
    return str(error).strip().split("\n")[0][:200]


def _reason(error: Exception) -> str:
    """Returns the reason of a failed write, with a plain sentence for a full disk."""
    # TensorStore and Orbax have their own exception types for it.
    full = "RESOURCE_EXHAUSTED" in str(error) or "[Errno 28]" in str(error)
    return os.strerror(errno.ENOSPC) if full else _first_line(error)


def _target(like: Any) -> ocp.args.PyTreeRestore:
    # Without a target Orbax would return optax's tuples as lists.
    target = jax.tree.map(_abstract, like)
    restore_args = ocp.checkpoint_utils.construct_restore_args(target)
    return ocp.args.PyTreeRestore(target, restore_args=restore_args)


def _abstract(leaf: Any) -> jax.ShapeDtypeStruct:
    if is_key(leaf):  # Orbax stores the data of keys.
        leaf = jax.random.key_data(leaf)
    sharding = getattr(leaf, "sharding", None)  # NumPy arrays have none.
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def _rank(metrics: Any) -> Any:
    """Returns a sort key: among equal scores the first is best, as in `Stopping`."""
    return metrics["score"], -metrics["step"]
