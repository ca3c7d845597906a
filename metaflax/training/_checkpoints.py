"""Checkpoints by Orbax: the two latest and the best, each with a digest."""

import contextlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax
import orbax.checkpoint as ocp

from metaflax.training import _manifest, _processes
from metaflax.training._digest import digest, layout
from metaflax.training._state import TrainState
from metaflax.training._stopping import Stopping

# Beside the folder of checkpoints: those that could not be read.
DAMAGED = "damaged"


class DamagedError(ValueError):
    """A checkpoint is not what was saved, or cannot be read at all."""


class Checkpoints:
    """The checkpoints of one run.

    Each holds the `TrainState` and a small JSON record: early stopping, and digests of
    all arrays, which reading verifies; so it does those of the files, which lie beside
    them. Saving is atomic, and goes on while the run does: a killed process leaves an
    unfinished folder that the next start ignores. Several processes that train
    together open the same folder, and all have to do the same with it.

    Args:
      directory: created if absent.
      read_only: whether nothing is ever saved or cleaned up.
    """

    def __init__(self, directory: Path, *, read_only: bool = False):
        self._directory = directory.absolute()
        preserve = ocp.checkpoint_managers
        self._manager = ocp.CheckpointManager(
            self._directory,
            options=ocp.CheckpointManagerOptions(
                # `best_fn` with `max_to_keep` would delete the newest steps while
                # the score falls, and with them the place to resume from.
                preservation_policy=preserve.AnyPreservationPolicy(
                    [
                        preserve.LatestN(2),
                        preserve.BestN(get_metric_fn=_rank, n=1),
                    ]
                ),
                create=not read_only,
                read_only=read_only,
            ),
        )
        self._unfinished: int | None = None

    def save(self, state: TrainState, stopping: Stopping, score: float) -> None:
        """Begins to write `state` under its step, of which it keeps a copy.

        Raises:
          ValueError: if the checkpoint before could not be written, or this one; older
            ones are whole.
        """
        self.wait()
        parts, step = _parts(_kept(state)), int(state.step)
        record: dict[str, Any] = {
            "stopping": stopping._asdict(),
            "layouts": {name: layout(part) for name, part in parts.items()},
            "digests": {name: digest(part) for name, part in parts.items()},
        }
        record["digest"] = _manifest.json_digest(record)
        items = ocp.args.Composite(
            # Apart from the rest, so that meta-testing reads nothing else.
            params=ocp.args.StandardSave(parts["params"]),
            rest=ocp.args.StandardSave(parts["rest"]),
            record=ocp.args.JsonSave(record),
        )
        self._unfinished = step
        self._writing(
            lambda: self._manager.save(
                step, args=items, metrics={"score": score, "step": step}
            )
        )

    def wait(self) -> None:
        """Waits until what was saved is on disk.

        Raises:
          ValueError: if it cannot be written; older checkpoints are whole.
        """
        if self._unfinished is None:
            return
        self._writing(self._manager.wait_until_finished)
        step, self._unfinished = self._unfinished, None
        if _processes.is_coordinator():
            _manifest.write(self._place(step))
        _processes.barrier("checkpoint")

    def _writing(self, act: Callable[[], Any]) -> None:
        step = self._unfinished
        try:
            act()
        except Exception as error:  # Of a full disk Orbax raises whatever comes.
            self._unfinished = None
            raise ValueError(
                f"{self._directory / str(step)} could not be written"
                f" ({_first_line(error)}); older checkpoints are whole. Make room"
                " there, and start again to go on from the latest."
            ) from error

    def latest_step(self) -> int | None:
        """The newest step, or None."""
        self.wait()
        return self._manager.latest_step()

    def steps(self) -> list[int]:
        """All steps, the oldest first."""
        self.wait()
        return sorted(self._manager.all_steps())

    def quarantine_damaged(
        self, like: TrainState, tell: Callable[[str], None]
    ) -> int | None:
        """Moves checkpoints out of the way that nothing could go on from.

        That is one which is damaged, and one whose best step is: its run would have
        nothing to end with. They are kept in a folder `damaged` beside that of the
        checkpoints.

        Args:
          like: a state of the structure, shapes and types that is asked for.
          tell: gets a sentence for each.

        Returns:
          The newest step that is left, or None.

        Raises:
          ValueError: if a checkpoint is whole, and one of other arrays.
        """
        for step in reversed(self.steps()):
            try:
                _, stopping = self.restore(like, step)
                if stopping.best_step != step:
                    self.read_params(like.params, stopping.best_step)
                return step
            except DamagedError as error:
                kept = self._set_aside(step)
                tell(f"{error}; it is left out, and kept in {kept}")
        return None

    def restore(self, like: TrainState, step: int) -> tuple[TrainState, Stopping]:
        """Reads a step into the structure, shapes and types of `like`.

        Raises:
          DamagedError: if it is not what was saved.
          ValueError: if what was saved is not like that.
        """
        found = self._read(step, _parts(like))
        state = found["rest"]._replace(params=found["params"])
        return state, Stopping(**found["record"]["stopping"])

    def read_params(self, like: optax.Params, step: int) -> optax.Params:
        """Reads only the meta-parameters of a step, in the structure of `like`.

        Raises:
          DamagedError: as `restore`.
          ValueError: likewise.
        """
        return self._read(step, {"params": like})["params"]

    def close(self) -> None:
        """Waits for what is being written and frees threads.

        Raises:
          ValueError: as `wait`.
        """
        try:
            self.wait()
        finally:
            with contextlib.suppress(Exception):  # It repeats what has been raised.
                self._manager.close()

    def _read(self, step: int, like: Mapping[str, Any]) -> dict[str, Any]:
        record = self._record(step)
        for name, part in like.items():
            self._check_layout(step, record["layouts"][name], layout(part))
        targets = {name: _target(part) for name, part in like.items()}
        found = self._restored(step, **targets)
        for name in like:
            if digest(found[name]) != record["digests"][name]:
                raise DamagedError(
                    f"{self._place(step)} is damaged: its {name} are not what was saved"
                )
        return {**found, "record": record}

    def _record(self, step: int) -> dict[str, Any]:
        record = self._restored(step, record=ocp.args.JsonRestore())["record"]
        expected = record.pop("digest", None) if isinstance(record, dict) else None
        if expected is None or expected != _manifest.json_digest(record):
            raise DamagedError(
                f"{self._place(step)} is damaged: its record is not what was saved"
            )
        return record

    def _restored(self, step: int, **items: Any) -> dict[str, Any]:
        self.wait()
        self._check_files(step, items)
        try:
            found: Any = self._manager.restore(step, args=ocp.args.Composite(**items))
            return {name: found[name] for name in items}
        except (MemoryError, PermissionError):
            raise  # The machine's fault, not the checkpoint's.
        except Exception as error:  # Of a damaged file Orbax raises whatever comes.
            raise DamagedError(
                f"{self._place(step)} is damaged and cannot be read"
                f" ({_first_line(error)})"
            ) from error

    def _check_files(self, step: int, items: Iterable[str]) -> None:
        """Before Orbax opens any: it would lose threads on a damaged one."""
        wrong = ""
        if _processes.is_coordinator():
            wrong = _manifest.difference(self._place(step), items)
        if _processes.broadcast_from_coordinator(bool(wrong)):
            raise DamagedError(f"{self._place(step)} is damaged: {wrong}".rstrip(": "))

    def _check_layout(
        self, step: int, saved: Mapping[str, str], wanted: Mapping[str, str]
    ) -> None:
        differences = [
            f"{path} is {saved.get(path, 'absent')}, not {wanted.get(path, 'absent')}"
            for path in sorted({*saved, *wanted})
            if saved.get(path) != wanted.get(path)
        ]
        if differences:
            shown, more = differences[:3], len(differences) - 3
            raise ValueError(
                f"{self._place(step)} holds other arrays: {'; '.join(shown)}"
                + (f"; and {more} more" if more > 0 else "")
            )

    def _set_aside(self, step: int) -> Path:
        folder = self._directory.with_name(DAMAGED)
        folder.mkdir(exist_ok=True)
        kept = folder / f"{step}-{len(list(folder.iterdir()))}"
        if _processes.is_coordinator():
            self._place(step).rename(kept)
        _processes.barrier("set aside")
        self._manager.reload()
        return kept

    def _place(self, step: int) -> Path:
        return self._directory / str(step)


def _parts(state: TrainState) -> dict[str, Any]:
    return {"params": state.params, "rest": state._replace(params=None)}


def _kept(state: TrainState) -> TrainState:
    """A copy, since the next step writes where the state lies.

    Orbax copies what lies on an accelerator by itself.
    """
    if jax.default_backend() != "cpu":
        return state
    return jax.tree.map(jnp.copy, state)


def _first_line(error: Exception) -> str:
    """What an error says, as far as it is of any use to a reader."""
    return str(error).strip().split("\n")[0][:200]


def _target(like: Any) -> ocp.args.StandardRestore:
    # Without a target Orbax would return optax's tuples as lists.
    return ocp.args.StandardRestore(jax.tree.map(ocp.utils.to_shape_dtype_struct, like))


def _rank(metrics: Any) -> Any:
    """Sorts checkpoints: of equal scores the first is best, as in `Stopping`."""
    return metrics["score"], -metrics["step"]
