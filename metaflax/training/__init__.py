"""Outer loop: the outer step, optimizers, checkpoints, and devices."""

from metaflax.training._checkpoints import Checkpoints as Checkpoints
from metaflax.training._checkpoints import DamagedError as DamagedError
from metaflax.training._digest import digest as digest
from metaflax.training._digest import layout as layout
from metaflax.training._fit import DivergedError as DivergedError
from metaflax.training._fit import FitResult as FitResult
from metaflax.training._fit import fit as fit
from metaflax.training._fitted_step import CompiledStep as CompiledStep
from metaflax.training._fitted_step import FittedStep as FittedStep
from metaflax.training._interpolation import Interpolated as Interpolated
from metaflax.training._interpolation import best_interpolation as best_interpolation
from metaflax.training._interpolation import interpolate as interpolate
from metaflax.training._log import LOG_SINKS as LOG_SINKS
from metaflax.training._log import JsonlLog as JsonlLog
from metaflax.training._log import Sink as Sink
from metaflax.training._log import TensorBoardLog as TensorBoardLog
from metaflax.training._mesh import check_tasks as check_tasks
from metaflax.training._mesh import make_mesh as make_mesh
from metaflax.training._mixture import for_member as for_member
from metaflax.training._mixture import member_params as member_params
from metaflax.training._mixture import member_paths as member_paths
from metaflax.training._mixture import mixture_optimizer as mixture_optimizer
from metaflax.training._mixture import shared_params as shared_params
from metaflax.training._optimizer import outer_optimizer as outer_optimizer
from metaflax.training._optimizer import schedule as schedule
from metaflax.training._partitioned_optimizer import PartsState as PartsState
from metaflax.training._partitioned_optimizer import in_parts as in_parts
from metaflax.training._placement import OneDevice as OneDevice
from metaflax.training._placement import OverDevices as OverDevices
from metaflax.training._placement import Placement as Placement
from metaflax.training._placement import spread_over as spread_over
from metaflax.training._preemption import PreemptedError as PreemptedError
from metaflax.training._preemption import preemption_requested as preemption_requested
from metaflax.training._processes import barrier as barrier
from metaflax.training._processes import (
    initialize_distributed as initialize_distributed,
)
from metaflax.training._processes import is_coordinator as is_coordinator
from metaflax.training._state import TrainState as TrainState
from metaflax.training._state import create as create
from metaflax.training._step import make_step as make_step
from metaflax.training._stopping import Stopping as Stopping

__all__ = [
    "LOG_SINKS",
    "Checkpoints",
    "CompiledStep",
    "DamagedError",
    "DivergedError",
    "FitResult",
    "FittedStep",
    "Interpolated",
    "JsonlLog",
    "OneDevice",
    "OverDevices",
    "PartsState",
    "Placement",
    "PreemptedError",
    "Sink",
    "Stopping",
    "TensorBoardLog",
    "TrainState",
    "barrier",
    "best_interpolation",
    "check_tasks",
    "create",
    "digest",
    "fit",
    "for_member",
    "in_parts",
    "initialize_distributed",
    "interpolate",
    "is_coordinator",
    "layout",
    "make_mesh",
    "make_step",
    "member_params",
    "member_paths",
    "mixture_optimizer",
    "outer_optimizer",
    "preemption_requested",
    "schedule",
    "shared_params",
    "spread_over",
]
