"""Compilation is most of what the tests of models do."""

import jax
import pytest


@pytest.fixture(scope="module")
def quick_compilation():
    """Halves it. MiniLM is compared with torch as users compile it."""
    before = jax.config.values["jax_disable_most_optimizations"]
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)
