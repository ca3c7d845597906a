"""Tests that heads are compared on the same draws of any labelled file."""

import json
import sys

import numpy as np

from tests.experiments import scripts
from tests.workflows import worlds

pytestmark = scripts.beside_tests


def test_heads_are_compared_on_any_labelled_file(tmp_path, monkeypatch, capsys):
    script = scripts.load("heads")
    monkeypatch.setattr(script, "NUM_QUERIES", 3)
    monkeypatch.setattr(script, "HEADS", {"prototypes": {}, "auto": {}})
    file = worlds.write_jsonl(tmp_path / "topics.jsonl", worlds.records(count=6))
    folds = tmp_path / "folds.json"
    folds.write_text(json.dumps({"a": worlds.SPLIT}))
    with worlds.apart(tmp_path):
        bert = worlds.save_bert(tmp_path / "bert")
        options = ["--model", bert, "--shots", 2, "--draws", 2, "--split-file", folds]
        argv = ["run.py", file, *options, "--fold", "a"]
        monkeypatch.setattr(sys, "argv", list(map(str, argv)))
        assert script.main() == 0
    printed = capsys.readouterr()
    [row] = [line for line in printed.out.splitlines() if line.startswith("| topics")]
    assert [cell.strip() for cell in row.split("|")][1:3] == ["topics", "2"]
    assert "±" in row
    assert not printed.err


def test_the_difference_is_of_the_chosen_head_and_class_means():
    script = scripts.load("heads")
    accuracy = {"prototypes": np.array([0.5, 0.6]), "auto": np.array([0.7, 0.8])}
    *means, difference = script.cells(accuracy)
    assert means == ["55.0", "75.0"]
    assert difference.startswith("+20.00 ± 0.00")


def test_a_file_that_is_not_there_is_one_sentence(tmp_path, monkeypatch, capsys):
    script = scripts.load("heads")
    monkeypatch.setattr(sys, "argv", ["run.py", str(tmp_path / "nowhere.jsonl")])
    assert script.main() == 2
    assert capsys.readouterr().err.startswith("heads: ")
