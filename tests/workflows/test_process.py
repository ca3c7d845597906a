"""Tests of what commands set for their process."""

import threadpoolctl

from metaflax import cli


def blas_threads():
    libraries = threadpoolctl.threadpool_info()
    return {lib["num_threads"] for lib in libraries if lib["user_api"] == "blas"}


def test_commands_let_blas_have_one_thread_unless_a_user_says_otherwise(monkeypatch):
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(variable, raising=False)
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
        assert cli.main(["models"]) == 0
        assert blas_threads() == {2}
        monkeypatch.delenv("OPENBLAS_NUM_THREADS")
        assert cli.main(["models"]) == 0
        assert blas_threads() == {1}
