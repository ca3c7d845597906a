"""Compiled steps, kept on disk."""

import os

import jax

from metaflax import data


def cache_compilations() -> None:
    """Keeps compiled steps, so that a second start is quick.

    They go beside downloads, unless `JAX_COMPILATION_CACHE_DIR` names another folder.
    """
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        folder = data.cache_folder() / "compiled"
        jax.config.update("jax_compilation_cache_dir", str(folder))
