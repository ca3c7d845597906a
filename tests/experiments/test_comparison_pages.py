"""Tests of the pages of comparisons from a pretrained decoder."""

import json

import pytest

from experiments.common import _decoder_tables
from metaflax.config._factories import template_for
from metaflax.config._files import to_json
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


@pytest.mark.parametrize(
    ("folder", "prompt"),
    [("code", "Task: {text}\nCode:"), ("controllable", "Review: {text}")],
)
def test_a_run_names_its_template_without_a_path(folder, prompt, tmp_path, monkeypatch):
    script = scripts.load(folder, "smollm2")
    monkeypatch.setattr(script.prepare, "prepare", lambda *paths: None)
    monkeypatch.setattr(script.common, "data_folder", lambda: tmp_path)
    splits = {split: (split,) for split in ("train", "valid", "test")}
    monkeypatch.setattr(script.common, "rest_for_training", lambda *parts: splits)
    config = script.prepared(tmp_path)
    assert str(scripts.EXPERIMENTS) not in to_json(config)
    template = template_for(config)
    assert template is not None
    assert template.prompt == prompt
