"""A small BERT and texts, and a cache folder of their own."""

from pathlib import Path

import pytest

from tests.workflows import worlds


@pytest.fixture(scope="package", autouse=True)
def _apart(tmp_path_factory):
    """Isolates the tests from the user's files."""
    with worlds.apart(tmp_path_factory.mktemp("apart")):
        yield


@pytest.fixture(scope="package")
def tiny_bert(tmp_path_factory) -> Path:
    return worlds.save_bert(tmp_path_factory.mktemp("models") / "tiny")
