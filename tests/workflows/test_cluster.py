"""Tests that unlabelled texts get pseudo-labels for meta-training."""

import json
import shutil

import pytest

from metaflax import cli
from tests.workflows import worlds

pytestmark = pytest.mark.thorough

TEXTS = worlds.records(worlds.TOPICS[6:], count=12, seed=5)


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    path = tmp_path_factory.mktemp("texts") / "texts.txt"
    path.write_text("".join(row["text"] + "\n" for row in TEXTS))
    return path


def clustered(texts, out, **options):
    given = {"texts": texts, "out": out, "clusters": 6, **options}
    worlds.run("cluster", *worlds.arguments(given))
    return worlds.read_jsonl(out)


def purity(rows):
    """The share of texts whose topic is the most frequent one of their cluster."""
    counts = {}
    for row, known in zip(rows, TEXTS, strict=True):
        own = counts.setdefault(row["label"], {})
        own[known["label"]] = own.get(known["label"], 0) + 1
    return sum(max(own.values()) for own in counts.values()) / len(rows)


def test_a_meta_trained_encoder_clusters_unseen_classes(
    texts, trained, tiny_bert, tmp_path, capsys
):
    found = clustered(texts, tmp_path / "by_run.jsonl", run=trained)
    assert [row["text"] for row in found] == [row["text"] for row in TEXTS]
    assert {row["label"] for row in found} == {f"cluster {i}" for i in range(6)}
    assert "72 texts in 6 clusters of" in " ".join(capsys.readouterr().out.split())
    before = clustered(texts, tmp_path / "untrained.jsonl", model=tiny_bert)
    assert purity(found) > purity(before) + 0.1
    again = clustered(texts, tmp_path / "again.jsonl", run=trained)
    assert again == found


def test_labels_of_a_file_are_not_read(trained, texts, tmp_path):
    rows = worlds.write_jsonl(tmp_path / "labelled.jsonl", TEXTS)
    assert clustered(rows, tmp_path / "a.jsonl", run=trained) == clustered(
        texts, tmp_path / "b.jsonl", run=trained
    )


def test_clusters_are_meta_trained_on_beside_labels(
    world, texts, trained, tmp_path, capsys
):
    made = tmp_path / "made.jsonl"
    found = clustered(texts, made, run=trained)
    classes = len(set(worlds.SPLIT["train"])) + len({row["label"] for row in found})
    number = len(found) + 20 * len(worlds.SPLIT["train"])
    options = {"steps": 1, "eval_every": 1, "valid_episodes": 2, "test_episodes": 2}
    worlds.run(*world.train_args(tmp_path / "run", more_train=made, **options))
    said = " ".join(capsys.readouterr().out.split())
    assert f"meta-train: {number} texts of {classes} classes" in said


def test_a_run_of_pairs_makes_no_clusters(texts, trained, tmp_path, capsys):
    pairs = tmp_path / "pairs"
    shutil.copytree(trained, pairs)
    config = json.loads((pairs / "config.json").read_text())
    config["data"]["task"] = "pair_classification"
    (pairs / "config.json").write_text(json.dumps(config))
    given = {"texts": texts, "out": tmp_path / "out.jsonl", "clusters": 6, "run": pairs}
    assert cli.main(["cluster", *worlds.arguments(given)]) == 2
    assert (
        f"{pairs} does not encode single texts as vectors; name a run"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clusters": 73}, "72 rows do not make 73 clusters"),
        ({"out": "made.txt"}, "name it .jsonl"),
        ({"run": "nowhere"}, "nowhere"),
        ({"texts": "nowhere.txt"}, "nowhere.txt"),
    ],
)
def test_what_makes_no_clusters_is_one_sentence(
    options, message, texts, trained, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    given = {"texts": texts, "out": "out.jsonl", "clusters": 6, "run": trained}
    assert cli.main(["cluster", *worlds.arguments({**given, **options})]) == 2
    error = capsys.readouterr().err
    assert error.startswith("metaflax: ")
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.glob("*.jsonl*"))
