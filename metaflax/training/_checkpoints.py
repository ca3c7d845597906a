"""Checkpoints by Orbax: the two latest and the best."""

from pathlib import Path
from typing import Any

import jax
import optax
import orbax.checkpoint as ocp

from metaflax.training._state import TrainState
from metaflax.training._stopping import Stopping


class Checkpoints:
    """The checkpoints of one run.

    Each holds the `TrainState` and a small JSON record (early stopping, metrics).
    Saving is atomic: a killed process leaves an unfinished folder that the next
    start ignores.

    Args:
      directory: created if absent.
      read_only: whether nothing is ever saved or cleaned up.
    """

    def __init__(self, directory: Path, *, read_only: bool = False):
        preserve = ocp.checkpoint_managers
        self._manager = ocp.CheckpointManager(
            directory.absolute(),
            options=ocp.CheckpointManagerOptions(
                # `best_fn` with `max_to_keep` would delete the newest steps while
                # the score falls, and with them the place to resume from.
                preservation_policy=preserve.AnyPreservationPolicy(
                    [
                        preserve.LatestN(2),
                        preserve.BestN(get_metric_fn=_rank, n=1),
                    ]
                ),
                # The state is donated to the next step, so it must be written now.
                enable_async_checkpointing=False,
                create=not read_only,
                read_only=read_only,
            ),
        )

    def save(self, state: TrainState, stopping: Stopping, score: float) -> None:
        """Writes `state` under its step."""
        self._manager.save(
            int(state.step),
            args=ocp.args.Composite(
                # Apart from the rest, so that meta-testing reads nothing else.
                params=ocp.args.StandardSave(state.params),
                rest=ocp.args.StandardSave(state._replace(params=None)),
                record=ocp.args.JsonSave(stopping._asdict()),
            ),
            metrics={"score": score, "step": int(state.step)},
        )
        self._manager.wait_until_finished()

    def latest_step(self) -> int | None:
        """The newest finished step, or None."""
        return self._manager.latest_step()

    def restore(self, like: TrainState, step: int) -> tuple[TrainState, Stopping]:
        """Reads a step into the structure, shapes and types of `like`."""
        read: Any = self._manager.restore(
            step,
            args=ocp.args.Composite(
                params=_target(like.params),
                rest=_target(like._replace(params=None)),
                record=ocp.args.JsonRestore(),
            ),
        )
        return read.rest._replace(params=read.params), Stopping(**read.record)

    def read_params(self, like: optax.Params, step: int) -> optax.Params:
        """Reads only the meta-parameters of a step, in the structure of `like`."""
        read: Any = self._manager.restore(
            step, args=ocp.args.Composite(params=_target(like))
        )
        return read.params

    def close(self) -> None:
        """Waits for what is being written and frees threads."""
        self._manager.close()


def _target(like: Any) -> ocp.args.StandardRestore:
    # Without a target Orbax would return optax's tuples as lists.
    return ocp.args.StandardRestore(jax.tree.map(ocp.utils.to_shape_dtype_struct, like))


def _rank(metrics: Any) -> Any:
    """Sorts checkpoints: of equal scores the first is best, as in `Stopping`."""
    return metrics["score"], -metrics["step"]
