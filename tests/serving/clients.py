"""Clients of a small service, and common requests."""

from starlette.testclient import TestClient

from metaflax import serving
from metaflax.serving import _messages as messages
from tests.workflows import worlds

TOKENS = {"ann": "ann-has-a-long-token", "bob": "bob-has-a-long-token"}
EXAMPLES = worlds.records(worlds.TOPICS[:3], count=3)
QUERIES = [row["text"] for row in worlds.records(worlds.TOPICS[:3], count=3, seed=1)]


def created(client, examples=EXAMPLES, **fields):
    answer = client.post("/v1/tasks", json={"examples": examples, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def predictions(client, task, texts=QUERIES, **fields):
    answer = client.post(f"/v1/tasks/{task}/predict", json={"texts": texts, **fields})
    assert answer.status_code == 200, answer.text
    return messages.Predictions.model_validate(answer.json())


def client_of(settings, tenant="ann") -> TestClient:
    """A client of an application that is not started, without warm-up."""
    headers = {"Authorization": f"Bearer {TOKENS[tenant]}"}
    app = serving.create_app(settings)
    return TestClient(app, headers=headers, raise_server_exceptions=False)
