"""Tests of tasks that a service with other settings learned."""

import asyncio
import dataclasses
import io
import json
import zipfile

import numpy as np
import pytest
import safetensors.numpy

from metaflax.config._files import to_json
from metaflax.few_shot._sources import load_learner
from metaflax.serving import _service, _weights
from metaflax.serving._limits import Limits
from metaflax.serving._service import Service
from metaflax.serving._store import TaskStore
from metaflax.workflows.learning import _cross_validation
from metaflax.workflows.learning._learner import Learner
from metaflax.workflows.runs._calibration import Calibration
from metaflax.workflows.runs._run_directory import RunDirectory
from tests.serving.clients import EXAMPLES, QUERIES, client_of, created, predictions

CALIBRATION = Calibration(5.0, "largest_probability", (), (), 9, "3-way", {})


def client_with(settings, folder, **learner):
    """A client of a service with other settings of the learner."""
    learner = dataclasses.replace(settings.learner, **learner)
    return client_of(
        dataclasses.replace(settings, learner=learner, store=folder / "store")
    )


def card(client, task):
    answer = client.get(f"/v1/tasks/{task}/model")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        return archive.read("model/README.md").decode()


@pytest.fixture
def evaluated(monkeypatch):
    """Settings of the learners that evaluated tasks by cross-validation."""
    settings, evaluate = [], _cross_validation.cross_validate

    def cross_validate(learner, *args):
        settings.append(learner.config.algorithm)
        return evaluate(learner, *args)

    monkeypatch.setattr(_service, "cross_validate", cross_validate)
    return settings


def test_a_task_is_described_and_evaluated_with_the_head_that_it_has(
    settings, tmp_path, evaluated
):
    first = client_with(settings, tmp_path, head="prototypes")
    task = created(first)
    expected = predictions(first, task)
    other = client_with(settings, tmp_path, head="ridge")
    assert predictions(other, task) == expected
    assert "Output layer: head prototypes." in card(other, task)
    assert other.post(f"/v1/tasks/{task}/evaluate", json={}).status_code == 200
    assert evaluated[-1].head == "prototypes"

    body = {"examples": EXAMPLES[:1]}
    assert other.patch(f"/v1/tasks/{task}", json=body).status_code == 200
    assert "Output layer: head ridge." in card(other, task)


def test_a_task_of_an_earlier_version_has_the_head_of_new_tasks(
    settings, tmp_path, monkeypatch, evaluated
):
    def former(learned, learner):
        del learner
        header = {"choice": json.dumps(learned.choice._asdict())}
        return safetensors.numpy.save(
            {f"head/{n}": np.ascontiguousarray(x) for n, x in learned.head.items()},
            header,
        )

    with monkeypatch.context() as patch:
        patch.setattr(_weights, "to_bytes", former)
        chosen = client_with(settings, tmp_path)
        task = created(chosen)
        expected = predictions(chosen, task)
    other = client_with(settings, tmp_path, head="ridge")
    assert predictions(other, task) == expected
    assert other.post(f"/v1/tasks/{task}/evaluate", json={}).status_code == 200
    assert evaluated[-1].head == "ridge"


def test_a_task_with_settings_of_a_later_version_is_to_be_learned_again(
    settings, tmp_path, monkeypatch
):
    client = client_with(settings, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(dataclasses, "asdict", lambda algorithm: {"unheard_of": 1})
        task = created(client)
    body = {"texts": QUERIES}
    again = client_with(settings, tmp_path)
    answer = again.post(f"/v1/tasks/{task}/predict", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "other_model")


@pytest.mark.parametrize("meta_trained_first", [True, False])
def test_a_task_keeps_the_calibration_that_holds_for_its_head(
    settings, tmp_path, meta_trained_first
):
    fresh = load_learner(dataclasses.replace(settings.learner, head="prototypes"))
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    (run_dir / "config.json").write_text(to_json(fresh.config))
    RunDirectory(run_dir).calibration.write_text(json.dumps(CALIBRATION._asdict()))
    params = {**fresh.params, "head": fresh._adapt._new_params(8)["head"]}
    trained = Learner(fresh.encoder, params, fresh.config, 8, run_dir)
    ridge = dataclasses.replace(fresh.config.algorithm, head="ridge")
    other = trained.with_algorithm(ridge, new_head=True)

    def service(learner):
        path = f"sqlite:///{tmp_path / 'tasks.sqlite'}"
        return Service(learner, TaskStore(path, tmp_path / "weights"), Limits())

    def sent(service, task):
        _, [record] = asyncio.run(service.predict("ann", task.id, QUERIES[:1]))
        return record

    first, second = (trained, other) if meta_trained_first else (other, trained)
    earlier = service(first)
    task = asyncio.run(earlier.create("ann", "topics", EXAMPLES))
    before = sent(earlier, task)
    assert ("raw_score" in before) == meta_trained_first
    earlier.close()
    later = service(second)
    after = sent(later, task)
    later.close()
    assert ("raw_score" in after) == meta_trained_first
    assert after["probabilities"] == pytest.approx(before["probabilities"], abs=1e-4)


@pytest.mark.parametrize("name", ["matching", "soft_k_means"])
def test_a_task_with_a_chosen_head_is_used_where_new_ones_have_another(
    name, settings, tmp_path
):
    fresh = load_learner(dataclasses.replace(settings.learner, head="prototypes"))
    algorithm = dataclasses.replace(fresh.config.algorithm, head=None)
    if name == "matching":
        algorithm = dataclasses.replace(algorithm, name=name)
    else:
        algorithm = dataclasses.replace(algorithm, head=name)
    config = dataclasses.replace(fresh.config, algorithm=algorithm)
    chooser = Learner(fresh.encoder, fresh.params, config, 8, chooses_head=True)

    def service(learner):
        path = f"sqlite:///{tmp_path / 'tasks.sqlite'}"
        return Service(learner, TaskStore(path, tmp_path / "weights"), Limits())

    def sent(service, task):
        _, [record] = asyncio.run(service.predict("ann", task.id, QUERIES[:1]))
        return record["probabilities"]

    earlier = service(chooser)
    task = asyncio.run(earlier.create("ann", "topics", EXAMPLES))
    before = sent(earlier, task)
    earlier.close()
    later = service(fresh)
    assert sent(later, task) == pytest.approx(before, abs=1e-4)
    assert asyncio.run(later.evaluate("ann", task.id, None))["examples"] > 0
    later.close()
