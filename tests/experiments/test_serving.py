"""Tests of the load and the faults of the service, in miniature."""

import contextlib
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from metaflax import serving
from metaflax.few_shot._settings import LearnerSettings
from tests.experiments import scripts
from tests.serving.test_page import served
from tests.workflows import worlds

pytestmark = scripts.beside_tests


@pytest.fixture(scope="module")
def rows():
    return worlds.records(worlds.TOPICS, count=12)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A small model, in a cache of its own."""
    folder = tmp_path_factory.mktemp("serving")
    with worlds.apart(folder):
        yield folder, str(worlds.save_bert(folder / "bert"))


@pytest.fixture
def script():
    return scripts.load("serving")


@pytest.fixture
def faults():
    return scripts.load("serving", "faults")


def tenants_of(script, texts, ports, number=4):
    """Tenants who ask any of the servers at some ports."""
    servers = [script.Server(None, port, Path()) for port in ports]
    return [
        script.Tenant(texts, np.random.default_rng(seed), [s.client() for s in servers])
        for seed in range(number)
    ]


def test_answers_under_load_are_direct_predictions_and_wrong_ones_are_found(
    script, world, rows
):
    folder, model = world
    texts = script.Texts.of(rows, 12)
    settings = serving.ServerSettings(
        learner=LearnerSettings(model=model, batch_size=4), store=folder / "load"
    )
    with contextlib.ExitStack() as stack:
        replicas = [stack.enter_context(served(settings)) for _ in range(2)]
        ports = [int(address.rsplit(":", 1)[1]) for address in replicas]
        tenants = tenants_of(script, texts, ports)
        done = script.all_at_once(
            tenants, lambda: sum(len(t.predictions) for t in tenants) > 30
        )
        assert done.wait(60)
        assert sum(tenant.check_tasks() for tenant in tenants) >= len(tenants)
    assert [p for tenant in tenants for p in tenant.problems] == []
    answers = [p for tenant in tenants for p in tenant.predictions]
    reference = script.Reference(texts, model, None)
    assert reference.wrong(answers)[0] == 0
    label, probabilities = answers[0].answers[0]
    first = next(iter(probabilities))
    other = {**probabilities, first: probabilities[first] + 0.01}
    changed = answers[0]._replace(answers=[(label, other), *answers[0].answers[1:]])
    assert reference.wrong([changed, *answers[1:]])[0] == 1


def test_a_task_that_was_lost_or_changed_is_found(script, world, rows):
    folder, model = world
    texts = script.Texts.of(rows, 12)
    settings = serving.ServerSettings(
        learner=LearnerSettings(model=model, batch_size=4), store=folder / "lost"
    )
    with served(settings) as address:
        port = int(address.rsplit(":", 1)[1])
        [tenant] = tenants_of(script, texts, [port], number=1)
        while len(tenant.tasks) < 2:
            tenant.step()
        tenant.close()
        lost, changed = tenant.tasks[:2]
        server = script.Server(None, port, Path())
        server.ask("DELETE", f"/v1/tasks/{lost.id}")
        more = {"examples": texts.examples(changed.rows[:1])}
        server.ask("PATCH", f"/v1/tasks/{changed.id}", more)
        tenant.problems.clear()
        tenant.check_tasks()
    assert any(f"{lost.id} is lost" in problem for problem in tenant.problems)
    assert any(f"{changed.id} has version" in problem for problem in tenant.problems)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        *("sigkill", "replicas", "vanishing-clients", "slow-clients", "large-bodies"),
        *("full-disk", "unreachable-store", "fuzzed"),
    ],
)
def test_no_fault_loses_a_task_or_gives_a_wrong_answer(
    name, faults, world, rows, tmp_path
):
    lab = faults.Lab(
        faults.Texts.of(rows, 12),
        world[1],
        tmp_path,
        tenants=4,
        kills=2,
        seconds=14 if name == "slow-clients" else 4,
        clients=6,
        fuzz_python=os.environ.get("SCHEMATHESIS_PYTHON", sys.executable),
        fuzz_examples=30,
        options=("--batch-size", "4"),
    )
    assert set(faults.FAULTS) >= {name}
    outcome = faults.FAULTS[name](lab)
    if "skipped" in outcome:
        pytest.skip(outcome["skipped"])
    assert outcome["problems"] == []
    assert outcome.get("answers", 1) > 0


@pytest.mark.slow
def test_load_is_reported_as_a_table(script, world, rows, tmp_path, capsys):
    (tmp_path / "data").mkdir()
    worlds.write_jsonl(tmp_path / "data" / "examples.jsonl", rows)
    arguments = ["--model", world[1], "--tenants", "4", "--minutes", "0.3"]
    arguments += ["--other-minutes", "0.1", "--per-class", "12"]
    arguments += ["--data", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
    arguments += ["--peer", f"a peer={shutil.which('false')}"]
    assert script.main(arguments) == 0
    out = capsys.readouterr().out
    assert "has no sentence-transformers; a peer is skipped" in out
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [f"| {name} |" in out for name in results] == [True, True]
    assert all(found["wrong"] == 0 for found in results.values())


def test_without_data_it_ends_with_a_sentence(script, faults, tmp_path, capsys):
    for module in (script, faults):
        assert module.main(["--data", str(tmp_path)]) == 2
        assert "METAFLAX_DATA names no folder" in capsys.readouterr().err
