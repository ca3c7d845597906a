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


def test_overview_is_that_of_all_results():
    found = {
        path.parent.name: json.loads(path.read_text())
        for path in sorted(scripts.EXPERIMENTS.glob("*/smollm2.json"))
    }
    readme = (scripts.EXPERIMENTS / "common" / "README.md").read_text()
    table = _decoder_tables.overview_table(found)
    assert len(found) > 1
    assert _decoder_tables.between_marks(readme, [table]) == readme
