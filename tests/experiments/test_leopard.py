"""Tests that published training sets are scored by the path of their folder alone."""

import json
import sys

import pytest

from tests.experiments import scripts
from tests.workflows import worlds

pytestmark = scripts.marks


def save_task(folder, topics, pairs):
    """A task in LEOPARD's format, of two training sets of one shot and one of two."""
    folder.mkdir()

    def row(topic, **more):
        texts = {"text": f"{topic} filler01"}
        return {
            **texts,
            **({"text_pair": topic} if pairs else {}),
            "label": topic,
        } | more

    sets = [("1-0", 1), ("1-1", 1), ("2-0", 2)]
    train = [
        row(topic, id=f"{folder.name}-{name}-{number}{topic}")
        for name, shot in sets
        for topic in topics
        for number in range(shot)
    ]
    worlds.write_jsonl(folder / "train_episodes.jsonl", train)
    queries = [row(topic, id=f"eval{n}") for n, topic in enumerate(topics * 2)]
    worlds.write_jsonl(folder / "eval.jsonl", queries)
    return folder


@pytest.mark.parametrize(
    ("pairs", "num_topics", "names"),
    [
        pytest.param(False, 3, ["task-prototypes"], marks=pytest.mark.thorough),
        (True, 2, ["task-one_sequence-prototypes", "task-two_towers-prototypes"]),
    ],
)
def test_any_folder_in_the_format_is_scored(
    pairs, num_topics, names, tmp_path, monkeypatch, capsys
):
    script = scripts.load("leopard")
    folder = save_task(tmp_path / "task", worlds.TOPICS[:num_topics], pairs)
    out = tmp_path / "out"
    with worlds.apart(tmp_path):
        bert = worlds.save_bert(tmp_path / "bert")
        options = ["--model", str(bert), "--heads", "prototypes", "--out", str(out)]
        monkeypatch.setattr(sys, "argv", ["run.py", str(folder), *options])
        assert script.main() == 0
        first = capsys.readouterr().out
        assert script.main() == 0  # Nothing is computed again.
    assert capsys.readouterr().out == first
    files = {path.stem: json.loads(path.read_text()) for path in out.rglob("*.json")}
    assert sorted(files) == names
    for results in files.values():
        # The evaluation texts are those of the training sets.
        assert results == {"1": [1.0, 1.0], "2": [1.0]}
    assert "| 100.0 ± 0.0 | 100.0 |" in first


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path, monkeypatch, capsys):
    script = scripts.load("leopard")
    monkeypatch.setattr(sys, "argv", ["run.py", str(tmp_path / "nowhere")])
    assert script.main() == 2
    assert capsys.readouterr().err.startswith("leopard: ")
