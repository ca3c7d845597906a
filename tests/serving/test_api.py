"""Tests of the HTTP interface, from examples to predictions."""

import dataclasses
import io
import json
import re
import threading
import time
import zipfile

import numpy as np
import pytest

import metaflax
from metaflax import models
from metaflax.serving import _messages as messages
from metaflax.serving import _service
from metaflax.serving._api import OPERATIONS
from metaflax.workflows.learning import _cross_validation
from metaflax.workflows.learning._learner import Learner
from tests.serving.clients import (
    EXAMPLES,
    QUERIES,
    TOKENS,
    client_of,
    created,
    predictions,
)
from tests.workflows import worlds

NOWHERE = "0" * 32


@pytest.fixture(scope="module")
def task(client):
    return created(client, name="topics")


def test_a_task_predicts_as_an_estimator_of_the_same_examples(client, task, tiny_bert):
    classifier = metaflax.FewShotClassifier(tiny_bert, batch_size=4)
    classifier.fit(*([row[name] for row in EXAMPLES] for name in ("text", "label")))
    expected = classifier.predict_proba(QUERIES)
    found = predictions(client, task).predictions
    rows = [[p.probabilities[c] for c in classifier.classes_] for p in found]
    assert rows == [pytest.approx(row, abs=1e-4) for row in expected]
    assert [p.label for p in found] == classifier.predict(QUERIES).tolist()
    assert all(p.truncated is None for p in found)


def test_what_was_not_read_of_a_text_is_told(client, task):
    [answer] = predictions(client, task, ["filler00 " * 100]).predictions
    assert answer.truncated == messages.Truncation(
        tokens_read=worlds.POSITIONS, tokens_total=102
    )


def test_words_show_what_a_prediction_owes_to_each(client, task):
    text = QUERIES[0]
    [whole] = predictions(client, task, [text], words=True).predictions
    words = text.split()
    assert [w.word for w in whole.words] == words
    rest = [" ".join(words[:i] + words[i + 1 :]) for i in range(len(words))]
    without = predictions(client, task, rest).predictions
    for word, changed in zip(whole.words, without, strict=True):
        fall = whole.probabilities[whole.label] - changed.probabilities[whole.label]
        assert word.effect == pytest.approx(fall, abs=1e-4)
    assert predictions(client, task, ["word"], words=True).predictions[0].words == []
    assert predictions(client, task, [text]).predictions[0].words is None


def test_too_many_words_are_refused_in_a_sentence(client, task):
    texts = ["filler00 " * 30] * 2  # The service explains 40 words at once.
    body = {"texts": texts, "words": True}
    answer = client.post(f"/v1/tasks/{task}/predict", json=body)
    assert answer.status_code == 422
    assert "60 words, and at most 40" in answer.json()["error"]["message"]


def test_explanations_name_the_nearest_examples(client, task):
    text = EXAMPLES[4]["text"]
    [answer] = predictions(client, task, [text], explain=True).predictions
    assert (answer.nearest[0].text, answer.nearest[0].label) == (
        text, EXAMPLES[4]["label"],
    )  # fmt: skip
    assert answer.nearest[0].similarity == pytest.approx(1)
    assert len(answer.nearest) == 3


def test_more_examples_are_a_task_of_all_of_them(client):
    grown, whole = created(client, EXAMPLES[:6]), created(client)
    before = client.get(f"/v1/tasks/{grown}").json()
    answer = client.patch(f"/v1/tasks/{grown}", json={"examples": EXAMPLES[6:]})
    assert answer.json()["version"] == before["version"] + 1
    assert answer.json()["classes"] == dict.fromkeys(worlds.TOPICS[:3], 3)
    rows = client.get(f"/v1/tasks/{grown}").json()["examples"]
    assert [(row["text"], row["label"]) for row in rows] == [
        (row["text"], row["label"]) for row in EXAMPLES
    ]
    pairs = zip(
        predictions(client, grown).predictions,
        predictions(client, whole).predictions,
        strict=True,
    )
    for ours, theirs in pairs:
        assert ours.probabilities == pytest.approx(theirs.probabilities, abs=1e-5)


def test_leave_one_out_is_what_each_task_without_one_example_predicts(client, task):
    answer = client.post(f"/v1/tasks/{task}/evaluate", json={})
    found = messages.Evaluation.model_validate(answer.json())
    wrong = []
    for number, row in enumerate(EXAMPLES):
        rest = created(client, EXAMPLES[:number] + EXAMPLES[number + 1 :])
        [prediction] = predictions(client, rest, [row["text"]]).predictions
        if prediction.label != row["label"]:
            wrong.append((row["text"], prediction.label))
    assert [(row.text, row.predicted) for row in found.wrong] == wrong
    assert found.accuracy == pytest.approx(1 - len(wrong) / len(EXAMPLES))
    assert found.interval[0] < found.accuracy < found.interval[1] or not wrong


def test_many_examples_are_left_out_in_parts_of_all_classes(
    settings, tmp_path, monkeypatch
):
    monkeypatch.setattr(_cross_validation, "MOST_PARTS", 3)
    learner = dataclasses.replace(settings.learner, head="prototypes")
    here = dataclasses.replace(settings, learner=learner, store=tmp_path / "store")
    client = client_of(here)
    path = f"/v1/tasks/{created(client)}/evaluate"
    answer = client.post(path, json={}).json()
    assert (answer["method"], answer["examples"]) == ("cross_validation", len(EXAMPLES))
    wrong, by_class = set(), sorted(EXAMPLES, key=lambda row: row["label"])
    for number in range(3):
        part = by_class[number::3]
        rest = created(client, [row for row in EXAMPLES if row not in part])
        found = predictions(client, rest, [row["text"] for row in part]).predictions
        wrong |= {
            (row["text"], row["label"], prediction.label)
            for row, prediction in zip(part, found, strict=True)
            if prediction.label != row["label"]
        }
    assert wrong  # Otherwise the parts would not be tested.
    columns = ("text", "label", "predicted")
    assert {tuple(row[c] for c in columns) for row in answer["wrong"]} == wrong


def test_held_out_examples_are_scored_too(client, task):
    held = [{"text": row["text"], "label": row["label"]} for row in EXAMPLES]
    held[0]["label"] = "never seen"
    answer = client.post(f"/v1/tasks/{task}/evaluate", json={"examples": held}).json()
    assert answer["method"] == "held_out"
    assert answer["examples"] == len(held)
    assert answer["wrong"][0]["label"] == "never seen"
    assert answer["classes"]["never seen"]["recall"] == 0


def test_a_class_may_have_the_name_of_an_average(client, task):
    held = [{"text": "topic00", "label": "accuracy"}]
    answer = client.post(f"/v1/tasks/{task}/evaluate", json={"examples": held})
    classes = messages.Evaluation.model_validate(answer.json()).classes
    assert classes["accuracy"]["recall"] == 0


def test_a_deleted_task_is_gone(client):
    task = created(client)
    assert client.delete(f"/v1/tasks/{task}").status_code == 204
    assert client.get(f"/v1/tasks/{task}").status_code == 404
    asked = client.post(f"/v1/tasks/{task}/predict", json={"texts": ["a"]})
    assert asked.status_code == 404


def requests_about(task):
    """Every request that names a task."""
    examples = {"examples": EXAMPLES[:1]}
    yield "GET", f"/v1/tasks/{task}", None
    yield "PATCH", f"/v1/tasks/{task}", examples
    yield "DELETE", f"/v1/tasks/{task}", None
    yield "POST", f"/v1/tasks/{task}/predict", {"texts": ["topic00"]}
    yield "POST", f"/v1/tasks/{task}/evaluate", {}
    yield "POST", f"/v1/tasks/{task}/suggest", {"texts": ["topic00"]}
    yield "GET", f"/v1/tasks/{task}/model", None


def test_a_tenant_has_its_own_tasks_only(client, bob, task):
    named = [path for _, path, _ in requests_about("{id}")]
    assert set(named) == {o.path for o in OPERATIONS if "{id}" in o.path}
    theirs, unknown = (
        [(bob.request(m, p, json=b)) for m, p, b in requests_about(t)]
        for t in (task, NOWHERE)
    )
    assert [a.status_code for a in theirs] == [404] * 7
    assert [a.text for a in theirs] == [a.text for a in unknown]
    own = created(bob)
    assert [t["id"] for t in bob.get("/v1/tasks").json()["tasks"]] == [own]
    assert own not in [t["id"] for t in client.get("/v1/tasks").json()["tasks"]]


@pytest.mark.parametrize("header", ["", "Bearer nonsense", "Basic {token}", "{token}"])
def test_requests_without_a_known_token_are_refused(header, client, task):
    header = header.format(token=TOKENS["ann"])
    paths = [*requests_about(task), ("GET", "/v1/tasks", None)]
    for method, path, body in paths:
        answer = client.request(
            method, path, json=body, headers={"Authorization": header}
        )
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 422, "invalid"),
        (b"{", 422, "invalid"),
        (b"[]", 422, "invalid"),
        (b"\xff", 422, "invalid"),
        (b'{"examples": 1e999}', 422, "invalid"),
        (b"[" * 5000, 422, "invalid"),
        ({"examples": []}, 422, "invalid"),
        ({"examples": EXAMPLES, "path": "/etc/passwd"}, 422, "invalid"),
        ({"examples": [{"text": "a", "label": 1}] * 2}, 422, "invalid"),
        ({"examples": [{"text": "a", "label": "x" * 201}] * 2}, 422, "invalid"),
        ({"examples": [{"text": " ", "label": "x"}] * 2}, 422, "unusable"),
        ({"examples": [{"text": "a", "label": " "}] * 2}, 422, "unusable"),
        ({"examples": [{"text": "a", "label": "x"}] * 2}, 422, "one_class"),
        ({"examples": [{"text": "a", "label": "x"}] * 41}, 422, "too_many_examples"),
        (b" " * 20_001, 413, "too_large"),
    ],
)
def test_unusable_bodies_are_refused_by_name(body, status, code, client, caplog):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    for sent in (content, iter([content])):  # With and without a length.
        answer = client.post("/v1/tasks", content=sent)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    messages.Error.model_validate(answer.json())
    assert not caplog.records  # None of them is the service's fault.


def test_too_many_texts_at_once_are_refused(client, task):
    body = {"texts": ["a"] * 257}
    answer = client.post(f"/v1/tasks/{task}/predict", json=body)
    assert answer.json()["error"]["code"] == "too_many_texts"


def test_rejection_needs_a_run(client, task):
    body = {"texts": ["topic00"], "reject": 0.05}
    answer = client.post(f"/v1/tasks/{task}/predict", json=body)
    assert answer.status_code == 422
    assert "no threshold to reject" in answer.json()["error"]["message"]


def test_a_fault_of_the_service_tells_nothing_of_it(settings, monkeypatch, tmp_path):
    alone = dataclasses.replace(settings, store=tmp_path / "store")
    client = client_of(alone)
    from metaflax.serving._store import TaskStore

    def broken(*args):
        raise RuntimeError("secret at /srv/secret")

    monkeypatch.setattr(TaskStore, "get", broken)
    answer = client.get(f"/v1/tasks/{NOWHERE}")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text


def test_predictions_go_on_while_a_task_is_learned(client, task, monkeypatch):

    begun, go_on, learn = threading.Event(), threading.Event(), Learner.learn

    def slow(self, *args, **kwargs):
        begun.set()
        assert go_on.wait(60)
        return learn(self, *args, **kwargs)

    monkeypatch.setattr(Learner, "learn", slow)
    made = []
    thread = threading.Thread(target=lambda: made.append(created(client)))
    thread.start()
    try:
        assert begun.wait(60)
        assert len(predictions(client, task).predictions) == len(QUERIES)
        assert not made
    finally:
        go_on.set()
        thread.join()
    assert made


@pytest.mark.parametrize("strategy", ["mix", "diversity"])
def test_suggestions_are_unlabelled_texts_with_their_predictions(
    client, task, strategy
):
    texts = [EXAMPLES[0]["text"], *QUERIES, QUERIES[0]]
    body = {"texts": texts, "number": 4, "strategy": strategy}
    answer = client.post(f"/v1/tasks/{task}/suggest", json=body)
    rows = messages.Suggestions.model_validate(answer.json()).suggestions
    assert len({row.text for row in rows} & set(QUERIES)) == len(rows) == 4
    found = predictions(client, task, [row.text for row in rows]).predictions
    for row, prediction in zip(rows, found, strict=True):
        assert row.predicted == prediction.label
        assert row.probabilities == pytest.approx(prediction.probabilities, abs=1e-4)
    known = {"texts": texts[:1]}
    answer = client.post(f"/v1/tasks/{task}/suggest", json=known)
    assert answer.json()["suggestions"] == []


def test_a_task_is_returned_as_a_model_that_predicts_the_same(client, task, tmp_path):
    answer = client.get(f"/v1/tasks/{task}/model")
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        archive.extractall(tmp_path)
    rows = metaflax.load(tmp_path / "model")(QUERIES[:2])
    found = predictions(client, task, QUERIES[:2]).predictions
    for row, prediction in zip(rows, found, strict=True):
        assert row["probabilities"] == pytest.approx(prediction.probabilities, abs=1e-4)
    assert (tmp_path / "model" / "README.md").is_file()


def chosen_head(client, task, folder):
    """The chosen head in the record of a task's model."""
    answer = client.get(f"/v1/tasks/{task}/model")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        archive.extractall(folder)
    return models.load(folder / "model").purpose.get("chosen_head")


def test_a_task_chooses_its_head_as_an_estimator_does_and_keeps_it(
    settings, tiny_bert, tmp_path, monkeypatch
):
    # One class has one text, the others four: logistic regression, by their numbers.
    rows = worlds.records(worlds.TOPICS[:3], count=4, seed=1)[3:]
    classifier = metaflax.FewShotClassifier(tiny_bert)
    classifier.fit(*([row[name] for row in rows] for name in ("text", "label")))
    expected = classifier.head_choice_.record()
    assert expected["name"] == "logistic_regression"
    here = dataclasses.replace(settings, store=tmp_path / "store")
    client = client_of(here)
    task = created(client, rows)
    assert chosen_head(client, task, tmp_path / "first") == expected
    restarted = client_of(here)
    assert chosen_head(restarted, task, tmp_path / "second") == expected
    found = predictions(restarted, task).predictions
    shares = [[p.probabilities[c] for c in classifier.classes_] for p in found]
    np.testing.assert_allclose(shares, classifier.predict_proba(QUERIES), atol=1e-4)

    # It is evaluated with its own head, whatever is chosen for new tasks.
    evaluated, evaluate = [], _cross_validation.cross_validate

    def cross_validate(learner, examples, names, encoded=None, choice=None):
        evaluated.append(choice)
        return evaluate(learner, examples, names, encoded, choice)

    monkeypatch.setattr(_service, "cross_validate", cross_validate)
    for head, chooses in (("auto", True), ("prototypes", False)):
        learner = dataclasses.replace(here.learner, head=head)
        named = client_of(dataclasses.replace(here, learner=learner))
        found = chosen_head(named, created(named, rows), tmp_path / head)
        assert found == (expected if chooses else None)
        assert named.post(f"/v1/tasks/{task}/evaluate", json={}).status_code == 200
        assert evaluated.pop().record() == expected


def test_health_metrics_and_documents_need_no_token(client, task):
    client.headers.pop("authorization")
    try:
        assert client.get("/healthz").json() == {"status": "ok"}
        end = time.monotonic() + 120  # Until all is compiled.
        while client.get("/readyz").status_code == 503 and time.monotonic() < end:
            time.sleep(0.1)
        assert client.get("/readyz").status_code == 200
        lines = client.get("/metrics").text
        page, document = client.get("/docs").text, client.get("/openapi.json").json()
    finally:
        client.headers["authorization"] = f"Bearer {TOKENS['ann']}"
    counted = re.search(r'requests_total{.*"/v1/tasks",status="201"} (\d+)', lines)
    assert int(counted[1]) >= 1
    assert "ann" not in re.findall(r'"(\w+)"', lines)
    assert task not in lines
    assert not re.search(r"<script|src=|https?://", page)
    names = set(document["components"]["schemas"])
    references = re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document))
    assert set(references) <= names
    for operation in OPERATIONS:
        described = document["paths"][operation.path][operation.method.lower()]
        assert str(operation.status) in described["responses"]
        assert ("requestBody" in described) == (operation.body is not None)
        assert operation.path in page
