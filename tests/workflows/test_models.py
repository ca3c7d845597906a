"""Tests for the list of model families, and of models that pip fetches."""

import io

import pytest
from rich.console import Console

from metaflax import cli, models
from metaflax.config._factories import TASKS
from metaflax.data.sources._pip_models import PIP_MODELS


@pytest.fixture(scope="module")
def listed():
    out = io.StringIO()
    cli.parse(["models"]).execute(Console(file=out, width=200))
    return out.getvalue()


def test_every_family_is_listed_with_what_it_can_do(listed):
    families, _, _ = listed.partition("Tasks of encoders")
    rows = {row.split()[1]: row for row in families.splitlines() if row[0] == "│"}
    for name, family in models.families.FAMILIES.items():
        kind = "generative" if family.generative else "encoder"
        assert kind in rows[name]
        assert ("prefixes" in rows[name]) == ("prefix_size" in family.additions)
    assert "LoRA, adapters, context, prefixes" in rows["mpnet"]


def test_every_task_and_every_model_that_pip_fetches_is_listed(listed):
    for name in [*TASKS, *PIP_MODELS]:
        assert name in listed
    known = models.families.FAMILIES
    assert all(model.model_type in known for model in PIP_MODELS.values())
