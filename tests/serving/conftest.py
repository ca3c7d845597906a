"""A small service, and a cache folder of its own."""

import json
from pathlib import Path

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from metaflax import serving
from metaflax.few_shot._settings import LearnerSettings
from tests.serving import postgres as postgres_server
from tests.serving.clients import TOKENS, client_of
from tests.workflows import worlds


@pytest.fixture(scope="package", autouse=True)
def _apart(tmp_path_factory):
    """Isolates the tests from the user's files."""
    with worlds.apart(tmp_path_factory.mktemp("apart")):
        yield


@pytest.fixture(scope="package")
def tiny_bert(tmp_path_factory) -> Path:
    return worlds.save_bert(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="package")
def settings(tiny_bert, tmp_path_factory) -> serving.ServerSettings:
    """A service of two tenants."""
    folder = tmp_path_factory.mktemp("service")
    (folder / "tokens.json").write_text(json.dumps(TOKENS))
    return serving.ServerSettings(
        learner=LearnerSettings(model=str(tiny_bert), batch_size=4),
        store=folder / "store",
        tokens=folder / "tokens.json",
        limits=serving.Limits(max_examples=40, max_body_bytes=20_000),
    )


@pytest.fixture(scope="package")
def postgres():
    """A PostgreSQL server; its tests are skipped if PostgreSQL is not installed."""
    with postgres_server.running() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, monkeypatch):
    """URL of an empty database: None for an SQLite file in the store."""
    if request.param == "sqlite":
        yield None
        return
    url = request.getfixturevalue("postgres").url
    engines, create = [sa.create_engine(url)], sa.create_engine

    def kept(*args, **kwargs):
        engines.append(create(*args, **kwargs))
        return engines[-1]

    monkeypatch.setattr(sa, "create_engine", kept)
    yield url
    for engine in engines[1:]:  # Applications do not close their engines.
        engine.dispose()
    with engines[0].begin() as connection:
        connection.execute(sa.text("DROP TABLE IF EXISTS metaflax_tasks"))
    engines[0].dispose()


@pytest.fixture(scope="package")
def client(settings):
    """A client of the tenant ann."""
    with client_of(settings) as client:
        yield client


@pytest.fixture(scope="package")
def bob(client) -> TestClient:
    """A client of another tenant of the same application."""
    headers = {"Authorization": f"Bearer {TOKENS['bob']}"}
    return TestClient(client.app, headers=headers, raise_server_exceptions=False)
