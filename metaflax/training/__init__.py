"""Outer loop: the outer step, optimizers, checkpoints, and devices."""

from metaflax.training._checkpoints import Checkpoints as Checkpoints
from metaflax.training._checkpoints import DamagedError as DamagedError
from metaflax.training._fit import DivergedError as DivergedError
from metaflax.training._fit import FitResult as FitResult
from metaflax.training._fit import fit as fit
from metaflax.training._interpolation import best_interpolation as best_interpolation
from metaflax.training._interpolation import interpolate as interpolate
from metaflax.training._log import JsonlLog as JsonlLog
from metaflax.training._log import Sink as Sink
from metaflax.training._log import TensorBoardLog as TensorBoardLog
from metaflax.training._mesh import make_mesh as make_mesh
from metaflax.training._optimizer import outer_optimizer as outer_optimizer
from metaflax.training._optimizer import schedule as schedule
from metaflax.training._placement import OneDevice as OneDevice
from metaflax.training._placement import OverDevices as OverDevices
from metaflax.training._preemption import PreemptedError as PreemptedError
from metaflax.training._processes import (
    initialize_distributed as initialize_distributed,
)
from metaflax.training._state import TrainState as TrainState
from metaflax.training._state import create as create
from metaflax.training._step import make_step as make_step
from metaflax.training._stopping import Stopping as Stopping

__all__ = [
    "Checkpoints",
    "DamagedError",
    "DivergedError",
    "FitResult",
    "JsonlLog",
    "OneDevice",
    "OverDevices",
    "PreemptedError",
    "Sink",
    "Stopping",
    "TensorBoardLog",
    "TrainState",
    "best_interpolation",
    "create",
    "fit",
    "initialize_distributed",
    "interpolate",
    "make_mesh",
    "make_step",
    "outer_optimizer",
    "schedule",
]
