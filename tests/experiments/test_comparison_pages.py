"""Tests of the pages of comparisons from a pretrained decoder."""

import json

import pytest

from experiments.common import _decoder_tables
from tests.experiments import scripts

pytestmark = scripts.beside_tests


@pytest.mark.parametrize(
    "folder", sorted(p.parent.name for p in scripts.EXPERIMENTS.glob("*/smollm2.json"))
)
def test_published_tables_are_those_of_the_results(folder):
    folder = scripts.EXPERIMENTS / folder
    results = json.loads((folder / "smollm2.json").read_text())
    readme = (folder / "README.md").read_text()
    assert _decoder_tables.published(readme, results) == readme
    assert results["episodes"] >= 100
