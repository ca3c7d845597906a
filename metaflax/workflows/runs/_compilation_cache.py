"""Persistent cache of compiled programs."""

import os

import jax

from metaflax import data


def cache_compilations() -> None:
    """Caches compiled programs on disk, so that a second start is quick.

    The cache lies beside downloads, unless `JAX_COMPILATION_CACHE_DIR` is set.
    """
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        folder = data.cache_folder() / "compiled"
        jax.config.update("jax_compilation_cache_dir", str(folder))
