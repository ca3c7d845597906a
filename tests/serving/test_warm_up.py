"""Tests of the compilation before the service is ready."""

import contextlib
import dataclasses
import itertools
import time

import numpy as np
import pytest

from metaflax import serving
from metaflax.few_shot._examples import examples_of
from metaflax.few_shot._settings import LearnerSettings
from metaflax.few_shot._sources import load_learner
from metaflax.serving import _service, _warm_up
from metaflax.workflows.learning._head_choice import possible_choices
from tests.compilations import Compilations
from tests.serving.clients import EXAMPLES, client_of


@pytest.fixture(scope="module")
def learner(tiny_bert):
    return load_learner(LearnerSettings(model=str(tiny_bert), batch_size=4))


def compiled_by_learning(learner, examples, choice=None):
    """Counts the programs that learning a task of these examples compiles."""
    names = sorted({row["label"] for row in examples})
    with contextlib.closing(Compilations()) as compiled:
        learner.learn(examples_of(examples, learner.task), names, choice=choice)
    return compiled.count


def test_a_first_task_of_usual_size_compiles_nothing(learner):
    _warm_up.warm_up(learner)
    assert compiled_by_learning(learner, EXAMPLES) == 0
    for classes, size in itertools.product((2, 4, 8), (8, *_warm_up.EXAMPLES)):
        rows = [{"text": "one", "label": str(i % classes)} for i in range(size)]
        for choice in (None, *possible_choices(classes)):
            count = compiled_by_learning(learner, rows, choice)
            assert count == 0, (classes, size, choice)
    many = 2 * _warm_up.CLASSES
    rows = [{"text": "one", "label": str(i % many)} for i in range(2 * many)]
    assert compiled_by_learning(learner, rows) > 0


def test_texts_share_a_batch_as_far_as_one_shape_holds_them(learner):
    batches = learner.encoder.batches
    lengths = np.full(200, 5)
    number = learner.encoder.num_together(lengths)
    [(rows, shape)] = batches.plan(lengths[:number])
    assert len(rows) == number
    assert shape.num_tokens == batches.num_tokens // 4
    assert not shape.holds(lengths[: number + 1])
    longest = np.array([batches.lengths[-1], 5])
    assert learner.encoder.num_together(longest) >= 1


def test_a_service_that_cannot_compile_says_so_and_is_closed(
    settings, tmp_path, monkeypatch, caplog
):
    closed, close = [], _service.Service.close

    def close_and_note(service):
        close(service)
        closed.append(service)

    def fail(learner):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(_service.Service, "close", close_and_note)
    monkeypatch.setattr(_service, "warm_up", fail)
    here = dataclasses.replace(settings, store=tmp_path / "store")
    with client_of(here) as client:
        end = time.monotonic() + 30
        while (answer := client.get("/readyz")).json()["status"] == "warming up":
            assert time.monotonic() < end, "the status does not report the failure"
        assert answer.status_code == 503
        assert answer.json()["status"].startswith("compilation failed")
        assert client.get("/healthz").status_code == 200
    assert closed
    assert "out of memory" in caplog.text


def test_a_head_that_needs_texts_without_labels_is_refused_at_the_start(
    settings, tmp_path
):
    learner = dataclasses.replace(settings.learner, head="soft_k_means")
    here = dataclasses.replace(settings, learner=learner, store=tmp_path / "store")
    with pytest.raises(ValueError, match="soft_k_means also learns from texts without"):
        serving.create_app(here)
