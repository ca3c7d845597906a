"""Several processes that train together, started by `jax.distributed`.

All of them run the same program and meet in every step. Of one process alone nothing
here does anything.
"""

import jax
import numpy as np
from jax.experimental import multihost_utils


def initialize_distributed(
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    *,
    heartbeat_seconds: int = 30,
    patience_seconds: int = 300,
) -> None:
    """Joins the processes that train together, before jax is used for anything else.

    Where a process dies the others cannot go on: they end after at most about twice
    the heartbeat, and whoever started them starts all of them again.

    Args:
      coordinator: address and port of process 0; with None this, and what follows, is
        found out under Slurm, Open MPI, Kubernetes (JobSet) and on TPU pods.
      num_processes: how many there are.
      process_id: which of them this is, from 0.
      heartbeat_seconds: how long a process may be silent.
      patience_seconds: how long processes wait for each other at the start.

    Raises:
      ValueError: if only a part is given, or they do not meet.
    """
    given = coordinator, num_processes, process_id
    if None in given and given != (None, None, None):
        raise ValueError(
            f"coordinator, num_processes and process_id are {given}; give all of them,"
            " or none to find them out."
        )
    if coordinator is not None and not coordinator.rpartition(":")[2].isdecimal():
        raise ValueError(
            f"coordinator is {coordinator!r}; give an address and a port, such as"
            " 10.0.0.1:5000."
        )
    try:
        jax.distributed.initialize(
            coordinator,
            num_processes,
            process_id,
            initialization_timeout=patience_seconds,
            heartbeat_timeout_seconds=heartbeat_seconds,
        )
    except (RuntimeError, ValueError) as error:
        what = str(error).split("\n")[0]
        raise ValueError(
            f"the processes do not meet ({what}); see that coordinator, num_processes"
            " and process_id are right in each."
        ) from error


def is_coordinator() -> bool:
    """Whether this is the process that writes."""
    return jax.process_index() == 0


def barrier(where: str) -> None:
    """Waits until all processes are there.

    Args:
      where: a name; in another place another.
    """
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(where)


def minimum_over_processes(number: int | None) -> int | None:
    """The least number of any process, so that all decide alike; None if it is so."""
    if jax.process_count() == 1:
        return number
    mine = np.array(np.inf if number is None else number, np.float32)
    found = float(np.min(multihost_utils.process_allgather(mine)))
    return None if np.isinf(found) else int(found)


def broadcast_from_coordinator(number: int) -> int:
    """The number of the first process."""
    if jax.process_count() == 1:
        return number
    return int(multihost_utils.broadcast_one_to_all(np.int32(number)))
