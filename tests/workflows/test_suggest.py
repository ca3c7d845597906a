"""Tests of `suggest`, for texts to label next."""

import csv
import json
import shutil

import numpy as np
import pytest

from metaflax import cli, workflows
from metaflax.workflows.inference._pretrained_config import without_run
from tests.workflows import worlds

TOPICS = worlds.TOPICS[:3]


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    """Texts of one or two topics; the first texts are those of the support set."""
    learned = worlds.records(TOPICS, count=3, seed=1)
    rows = [{"text": row["text"], "id": 10 + i} for i, row in enumerate(learned)]
    for seed, topics in enumerate([TOPICS[:1], TOPICS[:2], TOPICS[1:]]):
        texts = worlds.texts(topics, 10, np.random.default_rng(seed + 5))
        rows += [{"text": text, "id": 100 * (seed + 1)} for text in texts]
    rows += rows[-2:]
    return worlds.write_jsonl(tmp_path_factory.mktemp("pool") / "pool.jsonl", rows)


@pytest.mark.parametrize("strategy", ["mix", "uncertainty", "margin", "diversity"])
def test_suggestions_are_rows_of_the_pool_with_the_predictions_of_predict(
    calibrated, pool, tmp_path, strategy
):
    out = tmp_path / "next.jsonl"
    worlds.run(
        *("suggest", "--model", calibrated, "--texts", pool, "--number", 5),
        *("--strategy", strategy, "--out", out),
    )
    rows, given = worlds.read_jsonl(out), worlds.read_jsonl(pool)
    assert len({row["row"] for row in rows}) == len(rows) == 5
    for row in rows:
        source = given[row["row"] - 1]
        assert {name: row[name] for name in source} == source
        assert row["row"] > 9  # The first nine are those that it learned from.
    expected = workflows.load(calibrated)([row["text"] for row in rows])
    assert [r["predicted"] for r in rows] == [e["label"] for e in expected]
    for row, answer in zip(rows, expected, strict=True):
        assert row["probabilities"] == pytest.approx(answer["probabilities"], abs=1e-4)
    scores = [row["score"] for row in rows]
    assert scores == sorted(scores, reverse=True)


def test_what_is_left_out_is_told(calibrated, pool, capsys):
    args = [
        "suggest",
        "--model",
        str(calibrated),
        "--texts",
        str(pool),
        "--number",
        "99",
    ]
    assert cli.main(args) == 0
    out, notes = capsys.readouterr()
    assert len(out.splitlines()) == 30
    assert "9 texts were left out, as the model learned from them" in notes
    assert "2 texts repeat an earlier one and counted once" in notes
    assert "99 texts were asked for, and it has 30 texts" in notes


def test_columns_with_the_names_of_fields_are_renamed(calibrated, tmp_path, capsys):
    texts = worlds.texts(TOPICS[:2], 4, np.random.default_rng(0))
    file = tmp_path / "pool.csv"
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([("text", "score"), *((t, 7) for t in texts)])
    rows, notes = workflows.suggest(calibrated, file, 2)
    assert [row["input_score"] for row in rows] == ["7", "7"]
    assert "the column 'score' of the texts is written as 'input_score'." in notes
    worlds.run(
        *("suggest", "--model", calibrated, "--texts", file, "--number", 2),
        *("--format", "csv"),
    )
    written = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert [row["text"] for row in written] == [row["text"] for row in rows]


@pytest.mark.parametrize("problem", ["empty line", "no text left", "number"])
def test_nothing_is_written_where_something_is_wrong(
    calibrated, pool, tmp_path, capsys, problem
):
    out, file = tmp_path / "out.jsonl", tmp_path / "pool.jsonl"
    rows = worlds.read_jsonl(pool)
    rows = rows[:9] if problem == "no text left" else [*rows, {"text": ""}]
    number = 0 if problem == "number" else 3
    worlds.write_jsonl(file, rows[:-1] if problem == "number" else rows)
    args = ["suggest", "--model", calibrated, "--texts", file, "--number", number]
    assert cli.main([str(arg) for arg in [*args, "--out", out]]) == 2
    printed, message = capsys.readouterr()
    assert not printed
    assert not out.exists()
    expected = {
        "empty line": "pool.jsonl:42",
        "no text left": "holds no text to suggest",
        "number": "number is 0",
    }
    assert expected[problem] in message


def test_models_of_other_targets_are_refused(calibrated, pool, tmp_path):
    other = shutil.copytree(calibrated, tmp_path / "labels")
    config = json.loads((other / "config.json").read_text())
    config["problem_type"] = "multi_label_classification"
    config["metaflax"]["task"] = "multilabel_classification"
    (other / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="one label per text"):
        workflows.suggest(other, pool)


def test_pairs_that_the_model_learned_from_are_left_out(tiny_bert, tmp_path):
    texts = [row["text"] for row in worlds.records(TOPICS[:2], count=4)]
    pairs = [
        {"text": a, "text_pair": b}
        for a, b in zip(texts, texts[1:] + texts[:1], strict=True)
    ]
    labels = ["same", "same", "same", "other"]
    rows = [{**pair, "label": y} for pair, y in zip(pairs, labels, strict=False)]
    support = worlds.write_jsonl(tmp_path / "support.jsonl", rows)
    pool = worlds.write_jsonl(tmp_path / "pool.jsonl", pairs)
    settings = without_run(str(tiny_bert), "frozen", "pair_classification")
    model = workflows.adapt(support, tmp_path / "model", config=settings)
    suggested, notes = workflows.suggest(model, pool, 9)
    assert sorted(row["row"] for row in suggested) == [5, 6, 7, 8]
    assert any("4 texts were left out, as the model learned" in note for note in notes)
    (model / "support.jsonl").unlink()
    suggested, notes = workflows.suggest(model, pool, 9)
    assert len(suggested) == 8
    assert "texts that the model learned from are not left out" in notes[0]
