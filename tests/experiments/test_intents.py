"""Tests that intents are meta-trained on, with unlabelled texts too, in miniature."""

import dataclasses
import io
import json

import pytest
from rich.console import Console

from metaflax.workflows import RunDirectory
from tests.experiments import scripts
from tests.workflows import worlds

pytestmark = scripts.beside_tests


@pytest.fixture
def folder(tmp_path):
    """A data set in the format of CLINC150."""
    folder = tmp_path / "letters"
    folder.mkdir()
    worlds.write_jsonl(folder / "examples.jsonl", worlds.records(longest=5, count=9))
    (folder / "folds.json").write_text(json.dumps({"a": worlds.SPLIT}))
    return folder


def test_three_models_are_compared_on_any_folder_in_the_format(
    folder, tmp_path, monkeypatch
):
    script = scripts.load("intents")
    monkeypatch.setattr(script.unlabelled, "NUM_CLUSTERS", 4)
    config = script.config_of(folder)
    assert config.data.path == str(folder / "examples.jsonl")
    with worlds.apart(tmp_path):
        bert = worlds.save_bert(tmp_path / "bert")
        config = dataclasses.replace(
            config,
            model=dataclasses.replace(config.model, name=str(bert)),
            data=dataclasses.replace(config.data, max_length=24),
            episodes=dataclasses.replace(
                config.episodes, way=3, queries=2, train_way=4
            ),
            training=dataclasses.replace(
                config.training, steps=1, eval_every=1, valid_episodes=2
            ),
            evaluation=dataclasses.replace(
                config.evaluation, test_episodes=3, batch_episodes=3
            ),
        )
        runs, console = tmp_path / "runs", Console(file=io.StringIO())
        monkeypatch.setattr(script, "STEPS_WITH_CLUSTERS", 1)
        script.run_fold(runs, "a", {"a": worlds.SPLIT}, config, console)
        table = script.summary(runs, ["a"])
    rows = [line.split("|")[1:-1] for line in table.splitlines()[2:]]
    assert [row[0].strip() for row in rows] == ["a", "all", "a", "all"]
    assert all("±" in cell for row in rows for cell in row[2:])

    # Each column is of the run it is named for, on the same episodes.
    folders = [runs / "a" / name for name in (script.LABELLED, script.UNLABELLED)]
    alone, both = (RunDirectory(path).config().data for path in folders)
    assert (alone.more_train, both.more_train) == (
        None,
        str(runs / "a" / "clusters.jsonl"),
    )
    scores = script.accuracies(runs / "a", 5)
    for column, path, when in (
        (0, folders[0], "before"),
        (0, folders[1], "before"),
        (1, folders[0], "after"),
        (2, folders[1], "after"),
    ):
        lines = worlds.read_jsonl(path / "shot5.episodes.jsonl")
        assert scores[column].tolist() == [line[when]["accuracy"] for line in lines]

    # Clusters hold the texts of all other classes, and of no class of training.
    made = worlds.read_jsonl(runs / "a" / "clusters.jsonl")
    known = worlds.read_jsonl(folder / "examples.jsonl")
    others = [r["text"] for r in known if r["label"] not in worlds.SPLIT["train"]]
    assert sorted(row["text"] for row in made) == sorted(others)
    assert len({row["label"] for row in made}) == 4


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path, monkeypatch, capsys):
    script = scripts.load("intents")
    monkeypatch.setattr("sys.argv", ["run.py", "--data", str(tmp_path / "nowhere")])
    assert script.main() == 2
    said = " ".join(capsys.readouterr().out.split())
    assert said.startswith("intents: there is no ")
    assert "--data" in said


def test_a_frozen_encoder_is_scored_on_the_same_episodes(
    folder, tmp_path, monkeypatch, capsys
):
    script = scripts.load("intents", "frozen")
    config_of = script.intents.config_of

    def small(folder):
        config = config_of(folder)
        return dataclasses.replace(
            config,
            data=dataclasses.replace(config.data, max_length=24),
            episodes=dataclasses.replace(
                config.episodes, way=3, queries=2, train_way=4
            ),
            evaluation=dataclasses.replace(
                config.evaluation, test_episodes=3, batch_episodes=3
            ),
        )

    monkeypatch.setattr(script.intents, "config_of", small)
    out = tmp_path / "out"
    with worlds.apart(tmp_path):
        bert = worlds.save_bert(tmp_path / "bert")
        options = ["--model", str(bert), "--data", str(folder), "--out", str(out)]
        monkeypatch.setattr("sys.argv", ["frozen.py", *options])
        assert script.main() == 0
        first = capsys.readouterr().out
        assert script.main() == 0  # Nothing is computed again.
    assert capsys.readouterr().out == first
    assert [line.split("|")[1].strip() for line in first.splitlines()] == [
        *("a", "a", "all", "all")
    ]
    for shot in script.intents.SHOTS:
        scores = json.loads((out / f"a.shot{shot}.json").read_text())
        assert len(scores["accuracy"]) == 3
        assert scores["seconds"] > 0
