"""Persistent cache of compiled programs."""

import os

import jax

from metaflax import data

# A command compiles some twenty programs of half a second each; by default jax caches
# programs that take a second or more.
LEAST_SECONDS = 0.1


def cache_compilations() -> None:
    """Caches compiled programs on disk, so that a second start is quick.

    The cache is in the cache folder of downloads, unless `JAX_COMPILATION_CACHE_DIR` is
    set. It keeps programs that took 0.1 s or more to compile, unless
    `JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS` is set.

    Examples:
      >>> import os
      >>> from unittest import mock
      >>> import jax
      >>> from metaflax import workflows
      >>> before = jax.config.jax_compilation_cache_dir
      >>> set_by_user = {
      ...     "JAX_COMPILATION_CACHE_DIR": "/tmp/compiled",
      ...     "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "1",
      ... }
      >>> with mock.patch.dict(os.environ, set_by_user):
      ...     workflows.cache_compilations()
      >>> jax.config.jax_compilation_cache_dir == before  # What the user has set stays.
      True
    """
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        folder = data.cache_folder() / "compiled"
        jax.config.update("jax_compilation_cache_dir", str(folder))
    if not os.environ.get("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"):
        jax.config.update("jax_persistent_cache_min_compile_time_secs", LEAST_SECONDS)
