"""What a program of its own sets for all of its process."""

import contextlib
import functools
import os
from typing import Any

import threadpoolctl

from metaflax.workflows.runs._compilation_cache import cache_compilations
from metaflax.workflows.runs._logs import quiet_logs

# Variables by which users set the threads of BLAS themselves.
_SET_BY_USERS = (
    "BLIS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
)


def prepare_process() -> None:
    """Prepares a process that runs metaflax alone, as every command does.

    Logs are quiet (`quiet_logs`), compiled programs are kept (`cache_compilations`),
    and BLAS, which solves the linear systems of output layers, has one thread, unless
    a variable such as `OPENBLAS_NUM_THREADS` is set. Threads of OpenBLAS wait for each
    other by spinning: beside other busy processes a system of 384 equations took 270
    milliseconds with two threads on two cores, and 7 with one.

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
    """Lets BLAS have one thread within a block, as `prepare_process` does for good.

    It is for what is fitted in a user's process; results must be ready at its end.
    """
    if _set_by_user():
        return contextlib.nullcontext()
    return _libraries().limit(limits=1, user_api="blas")


def _set_by_user() -> bool:
    """Whether a variable says how many threads BLAS has."""
    return any(map(os.environ.get, _SET_BY_USERS))


@functools.cache
def _libraries() -> threadpoolctl.ThreadpoolController:
    """Finds the libraries that are loaded, which takes milliseconds."""
    return threadpoolctl.ThreadpoolController()
