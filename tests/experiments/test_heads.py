"""Tests that heads are compared on the same draws of any labelled file."""

import json
import sys

import numpy as np
import pytest

from metaflax.workflows.learning._head_choice import CANDIDATES
from tests.experiments import scripts
from tests.workflows import worlds

pytestmark = scripts.beside_tests
FOLDER = scripts.EXPERIMENTS / "heads"


def test_heads_are_compared_on_any_labelled_file(tmp_path, monkeypatch, capsys):
    script = scripts.load("heads")
    kept = {"prototypes": {}, "auto": {}, "soft_k_means": {}, "label_propagation": {}}
    both = {"logistic_regression": {}, "unbalanced_logistic_regression": {}}
    monkeypatch.setattr(script, "HEADS", {**kept, **both})
    file = worlds.write_jsonl(tmp_path / "topics.jsonl", worlds.records(count=12))
    folds = tmp_path / "folds.json"
    folds.write_text(json.dumps({"a": worlds.SPLIT}))
    with worlds.apart(tmp_path):
        bert = worlds.save_bert(tmp_path / "bert")
        options = ["--model", bert, "--shots", 2, "--draws", 2, "--split-file", folds]
        argv = ["run.py", file, *options, "--fold", "a"]
        monkeypatch.setattr(sys, "argv", list(map(str, argv)))
        assert script.main() == 0
    printed = capsys.readouterr()
    [row, *_] = [line for line in printed.out.splitlines() if "| topics" in line]
    assert [cell.strip() for cell in row.split("|")][1:3] == ["topics", "2"]
    assert "scikit-learn" in printed.out


def test_candidates_of_the_choice_are_compared_at_the_strengths_it_takes():
    script = scripts.load("heads")
    assert {name: script.HEADS[name] for name in CANDIDATES} == CANDIDATES


def test_a_draw_holds_no_text_twice_and_the_sizes_that_were_asked_for():
    script = scripts.load("heads")
    texts = {c: [f"{c}{i}" for i in range(60)] for c in "abcd"}
    for shot in (3, "1 to 16", "1 + as frequent"):
        task = script.draw(texts, shot, 0, 3)
        assert not set(task.support) & set(task.queries)
        assert all(t[0] == n for t, n in zip(task.support, task.labels, strict=True))
        assert len(set(task.labels)) == 3
        again = script.draw(texts, shot, 0, 3)
        assert task == again
    counts = np.unique(script.draw(texts, "1 to 16", 0, 3).labels, return_counts=True)
    assert sorted(counts[1]) == [1, 4, 16]
    assert len(script.draw(texts, "1 + as frequent", 0, 3).labels) == 43


def test_a_file_that_is_not_there_is_one_sentence(tmp_path, monkeypatch, capsys):
    script = scripts.load("heads")
    monkeypatch.setattr(sys, "argv", ["run.py", str(tmp_path / "nowhere.jsonl")])
    assert script.main() == 2
    assert capsys.readouterr().err.startswith("heads: ")


@pytest.mark.parametrize("name", ["accuracy", "balance", "transductive", "peer"])
def test_tables_of_the_page_are_those_of_the_results(name):
    script = scripts.load("heads")
    results = json.loads((FOLDER / "results.json").read_text("utf-8"))
    assert script.tables(results)[name] in (FOLDER / "README.md").read_text("utf-8")


def test_the_recommendation_is_that_of_the_results():
    script = scripts.load("heads")
    results = json.loads((FOLDER / "results.json").read_text("utf-8"))
    written = (FOLDER / "recommendation.md").read_text("utf-8")
    assert script.recommendation(results) == written
