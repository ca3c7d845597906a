"""Tests of the storage of tasks."""

import contextlib
import dataclasses
import json
import os
import threading
import time

import pytest
import sqlalchemy as sa

from metaflax import serving
from metaflax.few_shot._settings import LearnerSettings
from metaflax.serving import _store
from metaflax.serving._errors import ApiError
from metaflax.serving._store import TaskStore
from tests.serving.clients import EXAMPLES, client_of, created, predictions
from tests.workflows import worlds

ROWS = [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]


def opened(folder, database):
    url = database or f"sqlite:///{folder / 'tasks.sqlite'}"
    return TaskStore(url, folder / "weights")


@pytest.fixture
def store(tmp_path, database):
    store = opened(tmp_path, database)
    yield store
    store.close()


def put(store, tenant="ann", most=10):
    return store.create(tenant, "name", ROWS, ["x", "y"], "encoder", b"weights", most)


def files(store):
    return sorted(path.name for path in store._files._path.iterdir())


def test_a_task_is_read_as_it_was_written_by_its_tenant_only(store):
    task = put(store)
    assert store.get("ann", task.id) == task
    assert store.weights(task) == b"weights"
    assert store.tasks_of("bob") == []
    for call in (store.get, store.version, store.delete):
        with pytest.raises(ApiError, match="no task with this id"):
            call("bob", task.id)
    assert store.tasks_of("ann") == [task]


def test_weights_lie_in_any_store_of_fsspec(tmp_path):
    fsspec = pytest.importorskip("fsspec")
    url = f"memory://weights-of-{tmp_path.name}"
    database = f"sqlite:///{tmp_path / 'tasks.sqlite'}"
    store, other = (TaskStore(database, url) for _ in range(2))
    task, kept = put(store), put(store)
    changed = other.replace(task, ROWS * 2, ["x", "y"], "encoder", b"new")
    assert store.weights(changed) == b"new"
    store.delete("ann", task.id)
    objects, root = fsspec.core.url_to_fs(url)
    names = [path.rsplit("/", 1)[-1] for path in objects.ls(root, detail=False)]
    assert names == [kept.weights]
    objects.pipe_file(f"{root}/orphan.safetensors", b"")
    other._files.remove_others({kept.weights}, age=3600)
    assert len(objects.ls(root)) == 2  # It may belong to a task that is being stored.
    other._files.remove_others({kept.weights}, age=0)
    assert len(objects.ls(root)) == 1
    objects.pipe_file(f"{root}/{kept.weights}", b"damaged")
    with pytest.raises(ApiError, match="damaged"):
        store.weights(kept)


def test_a_store_that_fails_refuses_changes_and_an_unknown_one_is_named(
    tmp_path, tiny_bert, monkeypatch
):
    store = TaskStore(f"sqlite:///{tmp_path / 'tasks.sqlite'}", "memory://failing")

    def fail(path, content):
        raise RuntimeError("no bucket")

    monkeypatch.setattr(store._files._files, "pipe_file", fail, raising=False)
    with pytest.raises(ApiError, match="cannot be stored"):
        put(store)
    assert store.tasks_of("ann") == []
    learner = LearnerSettings(model=str(tiny_bert))
    settings = serving.ServerSettings(learner, tmp_path / "other", weights="no://where")
    with pytest.raises(ValueError, match="tasks cannot be kept.*no"):
        serving.create_app(settings)


def test_of_two_changes_at_once_one_is_told_to_try_again(store):
    task = put(store)
    first = store.replace(task, ROWS * 2, ["x", "y"], "encoder", b"first")
    assert store.replace(task, ROWS * 3, ["x", "y"], "encoder", b"second") is None
    assert store.get("ann", task.id) == first
    assert store.weights(first) == b"first"
    assert files(store) == [first.weights]  # Neither the old ones nor the second.


def test_a_tenant_may_have_so_many_tasks(store):
    for _ in range(2):
        put(store, most=2)
    store.check_room("ann", 3)
    for refused in (lambda: put(store, most=2), lambda: store.check_room("ann", 2)):
        with pytest.raises(ApiError, match="there are 2 tasks"):
            refused()
    assert len(files(store)) == 2
    put(store, tenant="bob", most=2)


def test_two_tasks_that_are_stored_at_once_are_no_more_than_allowed(
    store, tmp_path, database, monkeypatch
):
    replica, check = opened(tmp_path, database), _store._check_room
    both_checked, refused = threading.Barrier(2), []

    def check_and_wait(*args):
        check(*args)
        with contextlib.suppress(threading.BrokenBarrierError):
            both_checked.wait(0.3)

    def create(store):
        try:
            put(store, most=1)
        except ApiError as error:
            refused.append(error.code)

    monkeypatch.setattr(_store, "_check_room", check_and_wait)
    threads = [
        threading.Thread(target=create, args=[each]) for each in (store, replica)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    replica.close()
    assert refused == ["too_many_tasks"]
    assert len(store.tasks_of("ann")) == 1


@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_damaged_weights_are_found(damage, store):
    task = put(store)
    path = store._files._path / task.weights
    if damage == "remove":
        path.unlink()
    else:
        path.write_bytes(b"weightz" if damage == "flip" else b"weig")
    with pytest.raises(ApiError, match="damaged") as caught:
        store.weights(task)
    assert caught.value.status == 503


def test_a_failed_commit_leaves_the_task_before_it(store, monkeypatch):
    """As if the process ended between the file and the row."""
    task = put(store)

    def fails(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_store, "_columns", fails)
        with pytest.raises(KeyboardInterrupt):
            store.replace(task, ROWS * 2, ["x", "y"], "encoder", b"new")
    assert store.get("ann", task.id) == task
    assert store.weights(task) == b"weights"
    assert files(store) == [task.weights]


def test_weights_are_kept_if_a_commit_fails_that_may_have_been_recorded(
    store, monkeypatch
):
    commit = sa.Connection.commit

    def commit_and_fail(connection):
        commit(connection)
        raise sa.exc.OperationalError("COMMIT", {}, OSError("no connection"))

    with monkeypatch.context() as patch:
        patch.setattr(sa.Connection, "commit", commit_and_fail)
        with pytest.raises(ApiError, match="cannot be stored"):
            put(store)
    [task] = store.tasks_of("ann")
    assert store.weights(task) == b"weights"


def test_old_files_of_no_task_are_removed_at_the_next_start(store, tmp_path, database):
    task = put(store)
    for name, age in [("old.safetensors", 2 * _store.ORPHAN_AGE), ("new.tmp", 0)]:
        (store._files._path / name).write_bytes(b"")
        os.utime(store._files._path / name, (time.time() - age,) * 2)
    opened(tmp_path, database).close()
    assert files(store) == sorted(["new.tmp", task.weights])


def test_a_store_that_fails_is_no_fault_of_the_sender(store, monkeypatch):
    with store._engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE metaflax_tasks"))
    for call in (lambda: put(store), lambda: store.tasks_of("ann")):
        with pytest.raises(ApiError, match="cannot be stored or read") as caught:
            call()
        assert caught.value.status == 503
    monkeypatch.setattr(os, "fsync", lambda file: _raise(OSError(28, "disk full")))
    with pytest.raises(ApiError, match="cannot be stored or read"):
        put(store)


def _raise(error):
    raise error


@pytest.mark.parametrize("number", [4])
def test_no_change_of_replicas_at_once_is_lost(number, store, tmp_path, database):
    task, changed = put(store), []
    begin = threading.Barrier(number)

    def change(mine):
        begin.wait()
        while len(mine) < 3:
            before = other.get("ann", task.id)
            rows = [*before.examples, {"text": f"{id(mine)} {len(mine)}", "label": "x"}]
            if other.replace(before, rows, ["x", "y"], "encoder", b"w") is not None:
                mine.append(rows[-1])

    other = opened(tmp_path, database)
    for _ in range(number):
        changed.append([])
    threads = [threading.Thread(target=change, args=[mine]) for mine in changed]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    last = store.get("ann", task.id)
    assert last.version == 1 + 3 * number
    texts = {row["text"] for row in last.examples}
    assert texts >= {row["text"] for mine in changed for row in mine}
    assert files(store) == [last.weights]


def test_a_database_that_is_restarted_is_used_again(postgres, tmp_path):
    store = TaskStore(postgres.url, tmp_path)
    task = put(store)
    postgres.control("stop")
    with pytest.raises(ApiError, match="cannot be stored or read") as caught:
        store.get("ann", task.id)
    assert caught.value.status == 503
    postgres.control("start")
    assert store.get("ann", task.id) == task
    store.close()


@pytest.mark.parametrize("text", ["a\x00b", "\ud800", "\U0001f600 ж", "x" * 200])
def test_odd_texts_are_kept_or_refused(text, settings, tmp_path, database):
    here = dataclasses.replace(settings, store=tmp_path / "store", database=database)
    client = client_of(here)
    rows = [{"text": f"{text} {row['text']}", "label": text} for row in EXAMPLES[:2]]
    body = json.dumps({"name": text, "examples": EXAMPLES + rows})
    asked = client.post("/v1/tasks", content=body)
    assert asked.status_code in (201, 400, 422), asked.text
    if asked.status_code == 201:
        kept = client.get(f"/v1/tasks/{asked.json()['id']}").json()
        assert (kept["name"], kept["examples"][-2:]) == (text, rows)


def test_replicas_share_a_store_and_a_restart_keeps_it(settings, tmp_path, database):
    shared = dataclasses.replace(settings, store=tmp_path / "store", database=database)
    first, second = (client_of(shared) for _ in range(2))
    task = created(first)
    expected = predictions(first, task)
    assert predictions(second, task) == expected
    grown = second.patch(f"/v1/tasks/{task}", json={"examples": EXAMPLES[:1]})
    assert grown.json()["version"] == 2
    found = predictions(first, task)
    assert found.version == 2
    assert found == predictions(client_of(shared), task)
    assert second.delete(f"/v1/tasks/{task}").status_code == 204
    asked = first.post(f"/v1/tasks/{task}/predict", json={"texts": ["topic00"]})
    assert asked.status_code == 404


def test_a_task_of_another_model_is_learned_again_by_a_patch(settings, tmp_path):
    here = dataclasses.replace(settings, store=tmp_path / "store")
    task = created(client_of(here))
    other = LearnerSettings(
        model=str(worlds.save_bert(tmp_path / "other", seed=5)), batch_size=4
    )
    client = client_of(dataclasses.replace(here, learner=other))
    asked = client.post(f"/v1/tasks/{task}/predict", json={"texts": ["topic00"]})
    assert (asked.status_code, asked.json()["error"]["code"]) == (409, "other_model")
    body = {"examples": EXAMPLES[:1]}
    assert client.patch(f"/v1/tasks/{task}", json=body).status_code == 200
    again = created(client, [*EXAMPLES, EXAMPLES[0]])
    ours, theirs = (predictions(client, t).predictions for t in (task, again))
    assert ours == theirs


def test_tasks_that_adapt_the_encoder_are_kept_whole(settings, tmp_path):
    tuned = LearnerSettings(
        model=settings.learner.model, algorithm="fine_tuning", num_steps=1, batch_size=4
    )
    here = dataclasses.replace(settings, learner=tuned, store=tmp_path / "store")
    client = client_of(here)
    tasks = [created(client, part) for part in (EXAMPLES[:6], EXAMPLES[3:])]
    expected = [predictions(client, task) for task in tasks]
    restarted = client_of(here)
    assert [predictions(restarted, task) for task in tasks] == expected
