"""Process-wide settings of a metaflax program."""

import contextlib
import functools
import os
from typing import Any

import threadpoolctl

from metaflax.workflows.runs._compilation_cache import cache_compilations
from metaflax.workflows.runs._logs import quiet_logs

# Environment variables with which users set the number of BLAS threads.
_SET_BY_USERS = (
    "BLIS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
)


def prepare_process() -> None:
    """Prepares a process that runs metaflax alone, as every command does.

    Logs are silenced (`quiet_logs`), compiled programs are cached
    (`cache_compilations`), and BLAS, which solves the linear systems of output layers,
    has one thread, unless a variable such as `OPENBLAS_NUM_THREADS` is set. Threads of
    OpenBLAS wait for each other by spinning: with other busy processes, a system of 384
    equations took 270 milliseconds with two threads on two cores, and 7 with one.

    Examples:
      >>> import jax
      >>> from metaflax import workflows
      >>> workflows.prepare_process()
      >>> jax.config.jax_compilation_cache_dir is None
      False
    """
    quiet_logs()
    cache_compilations()
    if not _set_by_user():
        threadpoolctl.threadpool_limits(1, user_api="blas")


def one_blas_thread() -> contextlib.AbstractContextManager[Any]:
    """Limits BLAS to one thread within a block.

    It is for fitting in a user's process, where `prepare_process` was not called. Wait
    for results within the block.
    """
    if _set_by_user():
        return contextlib.nullcontext()
    return _libraries().limit(limits=1, user_api="blas")


def _set_by_user() -> bool:
    """Returns whether an environment variable sets the number of BLAS threads."""
    return any(map(os.environ.get, _SET_BY_USERS))


@functools.cache
def _libraries() -> threadpoolctl.ThreadpoolController:
    """Returns a controller of the loaded libraries; finding them takes milliseconds."""
    return threadpoolctl.ThreadpoolController()
