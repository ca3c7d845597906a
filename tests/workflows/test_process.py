"""Tests of process-wide settings of commands."""

import threadpoolctl

import metaflax
from metaflax import cli
from metaflax.workflows.learning import _adaptation


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


def test_estimators_let_blas_have_one_thread_while_they_fit(monkeypatch, tiny_bert):
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    found, ready = [], _adaptation.jax.block_until_ready

    def block_until_ready(adapted):
        found.append(blas_threads())
        return ready(adapted)

    monkeypatch.setattr(_adaptation.jax, "block_until_ready", block_until_ready)
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        classifier = metaflax.FewShotClassifier(tiny_bert, head="ridge")
        classifier.fit(["it barks", "it purrs"], ["dog", "cat"])
        assert blas_threads() == {2}
    assert found == [{1}]
