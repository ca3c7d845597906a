"""Tests for `predict`: input and output formats, streams, order, compilations."""

import csv
import io
import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from metaflax import cli, workflows
from tests.workflows import worlds

TEXTS = [r["text"] for r in worlds.records(worlds.TOPICS[:3], count=15, seed=3)]


def write_lines(path):
    path.write_text("".join(f"{text}\n" for text in TEXTS))


def write_jsonl(path):
    worlds.write_jsonl(path, [{"text": text, "more": 1} for text in TEXTS])


def write_csv(path):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["number", "text"])
        writer.writerows(enumerate(TEXTS))


@pytest.mark.parametrize(
    ("name", "write"),
    [("t.txt", write_lines), ("t.jsonl", write_jsonl), ("t.csv", write_csv)],
)
def test_every_text_of_a_file_is_answered_in_order(name, write, adapted, tmp_path):
    write(tmp_path / name)
    out = tmp_path / "out.jsonl"
    worlds.run("predict", "--model", adapted, "--texts", tmp_path / name, "--out", out)
    answers = worlds.read_jsonl(out)
    assert [a["text"] for a in answers] == TEXTS
    for answer in answers:
        probabilities = answer["probabilities"]
        assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)
        assert answer["label"] == max(probabilities, key=probabilities.get)
    assert {path.name for path in tmp_path.iterdir()} == {name, "out.jsonl"}


def test_csv_predictions_equal_jsonl_ones(adapted, tmp_path, capsys):
    texts = tmp_path / "texts.jsonl"
    awkward = ['topic00, "quoted" filler00', *TEXTS[:3]]
    worlds.write_jsonl(texts, [{"text": text} for text in awkward])
    args = ("predict", "--model", adapted, "--texts", texts)
    worlds.run(*args)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    worlds.run(*args, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["text"] for row in rows] == [line["text"] for line in lines] == awkward
    assert [row["label"] for row in rows] == [line["label"] for line in lines]
    for row, line in zip(rows, lines, strict=True):
        for name, probability in line["probabilities"].items():
            assert float(row[f"p({name})"]) == probability


def test_predictions_go_into_a_pipe_that_stays_one(adapted, tmp_path):
    write_lines(tmp_path / "t.txt")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "out").symlink_to("pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    args = ("--model", adapted, "--texts", tmp_path / "t.txt", "--out")
    worlds.run("predict", *args, tmp_path / "out")
    lines = os.read(reader, 2**16).splitlines()
    os.close(reader)
    assert [json.loads(line)["text"] for line in lines] == TEXTS
    assert (tmp_path / "pipe").is_fifo()
    assert (tmp_path / "out").is_symlink()


def test_batches_and_their_neighbours_change_no_answer(adapted):
    whole, single = (workflows.Predictor(adapted, size) for size in (32, 1))
    together = whole(TEXTS[:4])
    for text, answer in zip(TEXTS, together, strict=False):
        [alone] = single([text])
        assert alone["label"] == answer["label"]
        np.testing.assert_allclose(
            list(alone["probabilities"].values()),
            list(answer["probabilities"].values()),
            atol=1e-5,
        )


def test_predictions_in_bfloat16_are_near_those_of_float32(adapted, tmp_path):
    with pytest.raises(ValueError, match=r"'float16'; it is float32 or bfloat16"):
        workflows.Predictor(adapted, dtype="float16")
    out = {}
    for dtype in ("float32", "bfloat16"):
        write_lines(tmp_path / "t.txt")
        args = ("--texts", tmp_path / "t.txt", "--out", tmp_path / dtype)
        worlds.run("predict", "--model", adapted, "--dtype", dtype, *args)
        answers = worlds.read_jsonl(tmp_path / dtype)
        out[dtype] = np.array([list(a["probabilities"].values()) for a in answers])
    gap = np.abs(out["float32"] - out["bfloat16"])
    assert 0 < gap.max() < 0.02


def test_lengths_that_vary_compile_a_few_times(adapted):
    rng = np.random.default_rng(0)
    for _ in range(2):
        predictor = workflows.Predictor(adapted, 8)
        lengths = rng.integers(1, 60, 200)  # Some are cut at the model's positions.
        texts = [" ".join(rng.choice(worlds.FILLER, n)) for n in lengths]
        assert workflows.predict(predictor, texts, io.StringIO()) == 200
        assert predictor._logits._cache_size() <= len(predictor.batches.shapes()) <= 11


def test_a_stream_is_answered_line_by_line_before_it_ends(adapted):
    command = [sys.executable, "-m", "metaflax", "predict", "--model", str(adapted)]
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, encoding="utf-8"
    )
    # A failure is better than a test that hangs.
    timer = threading.Timer(120, process.kill)
    timer.start()
    try:
        for text in TEXTS[:3]:
            process.stdin.write(text + "\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["text"] == text
        process.stdin.close()
        assert process.stdout.read() == ""
        assert process.wait() == 0
    finally:
        timer.cancel()
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            stream.close()


def test_standard_input_may_be_jsonl(adapted, monkeypatch, capsys):
    stream = io.BytesIO(b'{"text": "topic00 filler00"}\n')
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stream))
    worlds.run("predict", "--model", adapted, "--input-format", "jsonl")
    assert json.loads(capsys.readouterr().out)["text"] == "topic00 filler00"


@pytest.mark.parametrize("existing", [None, "kept"])
def test_a_bad_row_leaves_no_half_written_file(existing, adapted, tmp_path, capsys):
    rows = [{"text": text} for text in TEXTS]
    texts = worlds.write_jsonl(tmp_path / "texts.jsonl", [*rows, {"text": " "}])
    out = tmp_path / "out.jsonl"
    if existing:
        out.write_text(existing)
    args = ["predict", "--model", adapted, "--texts", texts, "--out", out]
    assert cli.main([str(arg) for arg in args]) == 2
    assert "texts.jsonl:46" in capsys.readouterr().err
    assert (out.read_text() if out.exists() else None) == existing
    assert not list(tmp_path.glob("*.tmp"))


def test_all_columns_of_a_row_are_kept_beside_its_prediction(adapted, tmp_path, capsys):
    rows = [
        {"id": 7, "review": TEXTS[0], "label": "gold", "tags": ["a", {"b": None}]},
        {"id": 8, "review": TEXTS[1], "label": "else", "tags": []},
    ]
    file = worlds.write_jsonl(tmp_path / "texts.jsonl", rows)
    args = ("predict", "--model", adapted, "--texts", file, "--column", "review")
    worlds.run(*args)
    shown = capsys.readouterr()
    answers = [json.loads(line) for line in shown.out.splitlines()]
    for row, answer in zip(rows, answers, strict=True):
        assert {name: answer[name] for name in ("id", "review", "tags")} == {
            name: row[name] for name in ("id", "review", "tags")
        }
        assert answer["input_label"] == row["label"]
        assert answer["label"] in worlds.TOPICS[:3]
    assert "'label' of the texts is written as 'input_label'" in shown.err


def test_columns_of_a_csv_file_are_kept_in_a_csv_file(adapted, tmp_path, capsys):
    file = tmp_path / "texts.csv"
    file.write_text(f'id,text,note\n1,{TEXTS[0]},"a ""b"", c"\n2,{TEXTS[1]},\n')
    worlds.run("predict", "--model", adapted, "--texts", file, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["id"], row["note"]) for row in rows] == [("1", 'a "b", c'), ("2", "")]


def test_predictions_are_predicted_again_without_loss(adapted, tmp_path):
    """Fields of an earlier prediction are columns like any other."""
    file, again = tmp_path / "texts.jsonl", tmp_path / "again.jsonl"
    worlds.write_jsonl(file, [{"text": TEXTS[0], "input_label": "x", "label": "y"}])
    for source, out in ((file, again), (again, tmp_path / "twice.jsonl")):
        worlds.run("predict", "--model", adapted, "--texts", source, "--out", out)
    [once], [twice] = worlds.read_jsonl(again), worlds.read_jsonl(out)
    assert (once["input_label"], once["input_input_label"]) == ("x", "y")
    assert set(map(str, once.values())) <= set(map(str, twice.values()))


def test_csv_rows_of_other_columns_are_refused(adapted, tmp_path, capsys):
    rows = [{"text": TEXTS[0]}, {"text": TEXTS[1], "more": 1}]
    file = worlds.write_jsonl(tmp_path / "texts.jsonl", rows)
    args = ["predict", "--model", adapted, "--texts", file, "--format", "csv"]
    assert cli.main([str(arg) for arg in args]) == 2
    assert "the column 'more', which the first row lacks" in capsys.readouterr().err
