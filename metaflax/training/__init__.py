"""Outer loop: the outer step, optimizers, checkpoints, and devices."""

from metaflax.training._checkpoints import Checkpoints as Checkpoints
from metaflax.training._fit import DivergedError as DivergedError
from metaflax.training._fit import fit as fit
from metaflax.training._log import JsonlLog as JsonlLog
from metaflax.training._log import Sink as Sink
from metaflax.training._optimizer import outer_optimizer as outer_optimizer
from metaflax.training._optimizer import schedule as schedule
from metaflax.training._placement import OverDevices as OverDevices
from metaflax.training._preemption import PreemptedError as PreemptedError
from metaflax.training._processes import (
    initialize_distributed as initialize_distributed,
)
from metaflax.training._state import create as create
from metaflax.training._step import make_step as make_step

__all__ = [
    "Checkpoints",
    "DivergedError",
    "JsonlLog",
    "OverDevices",
    "PreemptedError",
    "Sink",
    "create",
    "fit",
    "initialize_distributed",
    "make_step",
    "outer_optimizer",
    "schedule",
]
