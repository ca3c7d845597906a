"""Coordination of processes that train together, by `jax.distributed`.

All processes run the same program. With a single process these functions do nothing.
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
    """Connects the processes that train together, before any other use of jax.

    If a process dies, the others end after at most about twice the heartbeat timeout;
    the launcher has to restart all of them.

    Args:
      coordinator: address and port of process 0; None to detect this and the following
        two arguments, under Slurm, Open MPI, Kubernetes (JobSet) and on TPU pods.
      num_processes: number of processes.
      process_id: index of this process, from 0.
      heartbeat_seconds: time without a heartbeat after which a process counts as dead.
      patience_seconds: time that processes wait for each other at the start.

    Raises:
      ValueError: if only some of the three are set, or the processes do not connect.

    Examples:
      >>> from metaflax import training
      >>> training.initialize_distributed("10.0.0.1:5000", num_processes=2)
      Traceback (most recent call last):
        ...
      ValueError: coordinator, num_processes and process_id are ('10.0.0.1:5000', ...
    """
    settings = coordinator, num_processes, process_id
    if None in settings and settings != (None, None, None):
        raise ValueError(
            f"coordinator, num_processes and process_id are {settings}; give all of"
            " them, or none to detect them."
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
        reason = str(error).split("\n")[0]
        raise ValueError(
            f"the processes do not connect ({reason}); check coordinator, num_processes"
            " and process_id of each."
        ) from error


def is_coordinator() -> bool:
    """Returns whether this is process 0, the only one that writes files."""
    return jax.process_index() == 0


def barrier(name: str) -> None:
    """Waits until all processes have reached the same barrier.

    Args:
      name: name of the barrier.
    """
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def minimum_over_processes(number: int | None) -> int | None:
    """Returns the minimum over processes of numbers that may be None."""
    if jax.process_count() == 1:
        return number
    local = np.array(np.inf if number is None else number, np.float32)
    least = float(np.min(multihost_utils.process_allgather(local)))
    return None if np.isinf(least) else int(least)


def broadcast_from_coordinator(number: int) -> int:
    """Returns the number that process 0 passed."""
    if jax.process_count() == 1:
        return number
    return int(multihost_utils.broadcast_one_to_all(np.int32(number)))
