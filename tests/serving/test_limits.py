"""Tests of the limits of requests, in number and in time."""

import asyncio
import dataclasses
import threading

import pytest

from metaflax import serving
from metaflax.few_shot._sources import load_learner
from metaflax.serving import _service
from metaflax.serving._errors import ApiError
from metaflax.serving._service import Service
from metaflax.serving._store import TaskStore
from metaflax.serving._task_encoder import TaskEncoder
from metaflax.workflows.learning._learner import Learner
from tests.serving.clients import EXAMPLES, QUERIES, client_of, created


def limited(settings, folder, **limits):
    """Settings of a service with an empty store and other limits."""
    limits = dataclasses.replace(settings.limits, **limits)
    return dataclasses.replace(settings, store=folder / "store", limits=limits)


def opened(folder):
    return TaskStore(f"sqlite:///{folder / 'tasks.sqlite'}", folder / "weights")


def test_limits_are_positive_and_fit_each_other():
    with pytest.raises(ValueError, match="max_tasks is 0"):
        serving.Limits(max_tasks=0)
    with pytest.raises(ValueError, match="at least max_texts"):
        serving.Limits(max_texts=10, max_waiting_texts=9)


@pytest.fixture
def blocked(monkeypatch):
    """An event that lets every `Learner.learn` go on."""
    go_on, learn = threading.Event(), Learner.learn

    def slow(self, *args, **kwargs):
        assert go_on.wait(60)
        return learn(self, *args, **kwargs)

    monkeypatch.setattr(Learner, "learn", slow)
    yield go_on
    go_on.set()


def test_an_adaptation_that_misses_its_deadline_stores_nothing(
    settings, tmp_path, blocked
):
    learner, limits = load_learner(settings.learner), serving.Limits()
    blocked.set()
    service = Service(learner, opened(tmp_path), limits)
    before = asyncio.run(service.create("ann", "topics", EXAMPLES))
    service.close()

    blocked.clear()
    limits = serving.Limits(adaptation_deadline_seconds=0.3)
    service = Service(learner, opened(tmp_path), limits)
    for change in (
        service.create("ann", "again", EXAMPLES),
        service.extend("ann", before.id, EXAMPLES[:1]),
    ):
        with pytest.raises(ApiError, match="took too long") as caught:
            asyncio.run(change)
        assert caught.value.status == 504
    blocked.set()
    service.close()  # Waits until the adaptations have ended.
    assert opened(tmp_path).tasks_of("ann") == [before]


def test_a_model_that_is_written_after_the_deadline_is_removed(
    settings, tmp_path, monkeypatch
):
    learner, go_on, written = load_learner(settings.learner), threading.Event(), []
    teacher = Service(learner, opened(tmp_path), serving.Limits())
    task = asyncio.run(teacher.create("ann", "topics", EXAMPLES))
    teacher.close()
    write = _service.write_archive

    def slow(*args):
        assert go_on.wait(60)
        written.append(write(*args))
        return written[0]

    monkeypatch.setattr(_service, "write_archive", slow)
    limits = serving.Limits(adaptation_deadline_seconds=0.3)
    service = Service(learner, opened(tmp_path), limits)
    with pytest.raises(ApiError, match="took too long"):
        asyncio.run(service.archive("ann", task.id))
    go_on.set()
    service.close()
    assert len(written) == 1
    assert not written[0].parent.exists()


@pytest.mark.parametrize("kind", ["suggest", "words", "explain"])
def test_suggestions_and_explanations_that_wait_are_limited(
    kind, settings, tmp_path, monkeypatch
):
    learner = load_learner(settings.learner)
    teacher = Service(learner, opened(tmp_path), serving.Limits())
    task = asyncio.run(teacher.create("ann", "topics", EXAMPLES))
    teacher.close()
    service = Service(
        learner, opened(tmp_path), serving.Limits(max_waiting_adaptations=1)
    )
    go_on, encode = threading.Event(), TaskEncoder.encode_in_background

    def slow(*args):
        assert go_on.wait(60)
        return encode(*args)

    def sent():
        if kind == "suggest":
            return service.suggest("ann", task.id, QUERIES, 2, "mix")
        return service.predict("ann", task.id, QUERIES, **{kind: True})

    async def sent_twice():
        both = [asyncio.create_task(sent()) for _ in range(2)]
        first, [other] = await asyncio.wait(
            both, timeout=30, return_when=asyncio.FIRST_COMPLETED
        )
        go_on.set()
        await other
        return first.pop().exception()

    monkeypatch.setattr(TaskEncoder, "encode_in_background", slow)
    error = asyncio.run(sent_twice())
    service.close()
    assert (error.status, error.code) == (429, "busy")
    assert "too many suggestions or explanations are waiting" in error.message


def test_held_out_examples_take_no_places_of_waiting_predictions(settings, tmp_path):
    few = {"max_texts": 4, "max_waiting_texts": 4, "deadline_seconds": 0.001}
    client = client_of(limited(settings, tmp_path, **few))
    path = f"/v1/tasks/{created(client)}/evaluate"
    answer = client.post(path, json={"examples": EXAMPLES})
    assert answer.status_code == 200, answer.text
    assert answer.json()["examples"] == len(EXAMPLES)


def test_a_tenant_with_all_its_tasks_is_refused_before_another_is_learned(
    settings, tmp_path, blocked
):
    client = client_of(limited(settings, tmp_path, max_tasks=1))
    blocked.set()
    created(client)
    blocked.clear()
    answer = client.post("/v1/tasks", json={"examples": EXAMPLES})
    assert (answer.status_code, answer.json()["error"]["code"]) == (
        409, "too_many_tasks",
    )  # fmt: skip
