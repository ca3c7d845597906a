"""Options for several devices and several processes."""

import dataclasses
from typing import Literal

import tyro
from rich.console import Console

# Type of an option without a value.
Flag = tyro.conf.FlagCreatePairsOff[bool]


@dataclasses.dataclass(frozen=True)
class Machines:
    """Several devices, and several processes with devices of their own."""

    devices: Literal["all", "one"] = "all"
    """Devices that share the episodes of a step, as far as these can be divided."""
    param_shards: int = 1
    """Number of devices that share a copy of parameters and optimizer state (FSDP)."""
    distributed: Flag = False
    """Join the other processes of a Slurm, Open MPI, Kubernetes or TPU job."""
    coordinator: str | None = None
    """Address and port of process 0, such as 10.0.0.1:1234, outside of such a job."""
    num_processes: int | None = None
    """Number of processes, given together with --coordinator."""
    process_id: int | None = None
    """Index of this process, counted from 0, given together with --coordinator."""
    heartbeat: int = 30
    """Seconds without a sign of life from a process after which the others stop."""

    @property
    def num_param_shards(self) -> int | None:
        """Number of devices per copy of the parameters; None for one device."""
        return self.param_shards if self.devices == "all" else None

    def initialize(self, console: Console) -> Console:
        """Joins the other processes and returns the console of this one.

        Only the coordinator prints.
        """
        from metaflax import training
        from metaflax.training._processes import is_coordinator

        if self.distributed or self.coordinator is not None:
            training.initialize_distributed(
                self.coordinator,
                self.num_processes,
                self.process_id,
                heartbeat_seconds=self.heartbeat,
            )
        return console if is_coordinator() else Console(quiet=True)
