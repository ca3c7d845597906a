"""Tests for notes on data that commands print: duplicates, leaks, rare classes."""

import dataclasses
import json

import pytest

from metaflax import cli, config, models, tasks
from metaflax.workflows.inference._finetune import _leaks
from metaflax.workflows.runs._episodes import make_episodes, read_examples
from metaflax.workflows.runs._load_model import load_model
from metaflax.workflows.runs._run import load_run
from metaflax.workflows.runs._run_data import data_notes
from tests.workflows import worlds


def test_rare_classes_are_an_error_or_left_out(world, tmp_path, capsys):
    rows = [*worlds.records(), {"text": "topic00 filler00", "label": "rare"}]
    file = worlds.write_jsonl(tmp_path / "rows.jsonl", rows)
    split = {**worlds.SPLIT, "train": [*worlds.SPLIT["train"], "rare"]}
    (tmp_path / "split.json").write_text(json.dumps(split))
    options = {"data": file, "split_file": tmp_path / "split.json"}
    args = world.train_args(tmp_path / "run", **options)
    assert cli.main([str(arg) for arg in args]) == 2
    assert "'rare' (1). Add texts, leave the classes out" in capsys.readouterr().err
    worlds.run(*args, "--rare-classes", "drop")
    shown = " ".join(capsys.readouterr().out.split())
    assert "1 class with fewer than 5 different texts, 1 in all: 'rare' (1)" in shown
    worlds.run("evaluate", tmp_path / "run")
    assert "'rare' (1); left out" in " ".join(capsys.readouterr().out.split())


def test_a_larger_shot_leaves_out_more_classes(world):
    settings = config.Config()
    texts = dataclasses.replace(
        settings.data, rare_classes="drop", max_length=worlds.POSITIONS
    )
    settings = dataclasses.replace(settings, data=texts)
    task, model = (
        tasks.classification(),
        load_model(config.ModelConfig(name=str(world.model))),
    )
    rows = [*worlds.records(worlds.TOPICS[:3], count=6)]
    rows += worlds.records(worlds.TOPICS[3:4], count=3)
    file = worlds.write_jsonl(world.data.with_name("rare.jsonl"), rows)
    examples = read_examples(file, texts, task)
    for shot, num_classes in ((1, 4), (2, 3), (4, 3)):
        sizes = config.EpisodeConfig(way=2, shot=shot, queries=2)
        episodes = make_episodes(examples, sizes, settings, task, model)
        assert len(episodes.examples.label_names) == num_classes
    sizes = dataclasses.replace(sizes, shot=5)
    with pytest.raises(ValueError, match="no classes cannot make an episode"):
        make_episodes(examples, sizes, settings, task, model)


def test_task_types_without_classes_drop_none():
    settings = config.Config()
    for task in ("regression", "smlmt", "translation"):
        texts = config.DataConfig(task=task, rare_classes="drop")
        with pytest.raises(ValueError, match="rare_classes is 'drop'"):
            config.check(dataclasses.replace(settings, data=texts))


def test_adapt_names_texts_with_two_labels(trained, tmp_path, capsys):
    rows = worlds.records(worlds.TOPICS[:3], count=2)
    rows.append({"text": rows[0]["text"].upper(), "label": worlds.TOPICS[1]})
    file = worlds.write_jsonl(tmp_path / "support.jsonl", rows)
    args = ("adapt", "--run", trained, "--support", file, "--out", tmp_path / "out")
    worlds.run(*args)
    shown = " ".join(capsys.readouterr().out.split())
    assert "note: " in shown
    assert "1 text occurs under different labels" in shown


def test_adapt_takes_separator_and_encoding_without_a_run(world, tmp_path):
    file = tmp_path / "support.csv"
    rows = "text;label", "topic00 topic01;topic00|topic01", "topic02;topic02"
    file.write_text("\n".join(rows), encoding="utf-16-le")
    options = ("--label-separator", "|", "--encoding", "utf-16-le")
    task = ("--task", "multilabel_classification", "--model", world.model)
    out = tmp_path / "out"
    worlds.run("adapt", "--support", file, "--out", out, *task, *options)
    assert models.load(out).labels == worlds.TOPICS[:3]


def test_predict_reads_an_encoding_and_counts_repeated_headers(
    adapted, tmp_path, capsys
):
    file = tmp_path / "texts.csv"
    file.write_text("id,text\n1,topic00 é\nid,text\n2,topic01\n", encoding="latin-1")
    args = ("--model", adapted, "--texts", file, "--encoding", "latin-1")
    worlds.run("predict", *args, "--out", tmp_path / "out.jsonl")
    assert "left out 1 line that repeats the header" in capsys.readouterr().err
    answers = worlds.read_jsonl(tmp_path / "out.jsonl")
    assert [answer["text"] for answer in answers] == ["topic00 é", "topic01"]


def test_test_texts_that_were_trained_on_are_counted(tmp_path):
    task, settings = tasks.classification(), config.DataConfig()
    train, test = (
        read_examples(worlds.write_jsonl(tmp_path / f"{n}.jsonl", rows), settings, task)
        for n, rows in enumerate(
            (
                [{"text": "A b", "label": "x"}, {"text": "c", "label": "y"}],
                [{"text": " a  B", "label": "x"}, {"text": "d", "label": "y"}],
            )
        )
    )
    [note] = _leaks(train, test)
    assert note.startswith("1 of 2 test texts are training texts too")
    [note] = _leaks(train, train)
    assert note.startswith("2 of 2")
    assert _leaks(train, test.select([1])) == []


def test_texts_of_both_meta_training_and_meta_test_are_counted(world, tmp_path):
    rows = worlds.records()
    shared = {"text": rows[0]["text"].upper(), "label": worlds.SPLIT["test"][0]}
    assert rows[0]["label"] in worlds.SPLIT["train"]
    for data, notes in ((rows, []), ([*rows, shared], ["in meta-train too: 1;"])):
        file = worlds.write_jsonl(tmp_path / "rows.jsonl", data)
        args = map(str, world.train_args(tmp_path / "run", data=file))
        run = load_run(cli.parse(list(args)).settings)
        found = [note for note in data_notes(run) if "of meta-test" in note]
        assert len(found) == len(notes)
        assert all(part in note for part, note in zip(notes, found, strict=True))
