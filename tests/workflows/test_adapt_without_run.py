"""Tests that `adapt` takes columns, pooling and task settings without a run."""

import dataclasses
import itertools
import json

import pytest

from metaflax import cli, models, workflows
from metaflax.cli.commands._adapt import Pretrained
from metaflax.workflows.inference import _pretrained_config
from metaflax.workflows.inference._pretrained_config import without_run
from metaflax.workflows.runs import _pair_encoding
from tests.workflows import worlds
from tests.workflows.test_understanding import entity_rows

# A value of each option that is not its default.
OTHERS = {
    "model": "somewhere",
    "algorithm": "fine_tuning",
    "task": "regression",
    "head": "ridge",
    "pooling": "first",
    "standardize": False,
    "max_length": 7,
    "max_target_length": 7,
    "temperature": 2.0,
    "strength": 2.0,
    "inner_optimizer": "adam",
    "inner_learning_rate": 0.5,
    "num_steps": 7,
    "tagging": "bio",
    "transitions": (0.1,) * 7,
    "entity_typing": "spans",
    "none_logit": 2.0,
    "null_threshold": 2.0,
    "pair_encoding": "two_towers",
    "template": "summarization",
    "capitals": True,
}
# The task type of options that not all task types have.
TASKS = {
    "none_rate": "relations",
    "pair_encoding": "pair_classification",
    "template": "summarization",
    "capitals": "entities",
}


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(Pretrained)])
def test_no_option_is_without_effect(name, monkeypatch):
    for module in (_pretrained_config, _pair_encoding):
        monkeypatch.setattr(module, "sentence_embedding", lambda name: None)
    task = {"task": TASKS[name]} if name in TASKS else {}
    plain = without_run(**task)
    value = OTHERS.get(name, 0.5)
    changed = without_run(**{**task, name: value})
    assert changed != plain
    sections = dataclasses.asdict(changed).values()
    assert value in [v for section in sections for v in section.values()]


def test_what_no_head_is_fitted_to_is_learned_by_inner_steps(world):
    names = {"translation": "fine_tuning", "question_answering": "fine_tuning"}
    for task in ("classification", "regression", "entities", *names):
        expected = names.get(task, "frozen")
        assert without_run(str(world.model), task=task).algorithm.name == expected
    given = without_run(str(world.model), "in_context", "translation")
    assert given.algorithm.name == "in_context"
    with pytest.raises(ValueError, match="frozen has no inner steps, and question_ans"):
        without_run(str(world.model), "frozen", "question_answering", head="span")


@pytest.fixture
def support(tmp_path):
    rows = worlds.records(worlds.TOPICS[:2], count=4)
    renamed = [{"review": row["text"], "intent": row["label"]} for row in rows]
    return worlds.write_jsonl(tmp_path / "support.jsonl", renamed)


COLUMNS = ("--text", "review", "--label", "intent")


@pytest.mark.parametrize("with_run", [True, False])
def test_columns_of_the_support_set_are_named(
    with_run, support, trained, world, tmp_path
):
    start = ("--run", trained) if with_run else ("--model", world.model)
    worlds.run(
        "adapt", "--support", support, "--out", tmp_path / "out", *start, *COLUMNS
    )
    assert models.load(tmp_path / "out").labels == worlds.TOPICS[:2]


def test_pooling_and_standardisation_are_named(support, world, tmp_path):
    for pooling in ("first", "mean"):
        out = tmp_path / pooling
        args = ("--support", support, "--model", world.model, "--out", out, *COLUMNS)
        worlds.run("adapt", *args, "--pooling", pooling, "--standardize", "False")
    kernels = [models.load(tmp_path / p).head["kernel"] for p in ("first", "mean")]
    assert (kernels[0] != kernels[1]).any()


def test_a_strength_that_class_means_do_not_read_is_noted(
    support, world, tmp_path, capsys
):
    args = ("adapt", "--support", support, "--model", world.model, *COLUMNS)
    for head in ("prototypes", "ridge"):
        out = ("--out", tmp_path / head, "--head", head)
        worlds.run(*args, *out, "--strength", 3)
        noted = "note: strength is 3.0, which has no effect" in capsys.readouterr().out
        assert noted == (head == "prototypes")


def test_token_tasks_pool_no_tokens_by_default(world, tmp_path):
    rows = [*entity_rows()[:2], *entity_rows()[-2:]]
    support = worlds.write_jsonl(tmp_path / "support.jsonl", rows)
    args = ("--support", support, "--model", world.model, "--out", tmp_path / "out")
    options = ("--task", "entities", "--label", "tags", "--tagging", "bio")
    worlds.run("adapt", *args, *options)
    labels = models.load(tmp_path / "out").labels
    assert {f"B-{worlds.TOPICS[0]}", f"I-{worlds.TOPICS[0]}", "O"} <= set(labels)


def test_a_directory_of_detected_entities_types_them_as_spans(world, tmp_path):
    rows = [*entity_rows()[:8], *entity_rows()[-8:]]
    support = worlds.write_jsonl(tmp_path / "support.jsonl", rows)
    out, answers = tmp_path / "out", tmp_path / "answers.jsonl"
    options = ("--task", "entities", "--label", "tags", "--entity-typing", "spans")
    args = ("--support", support, "--model", world.model, "--out", out, *options)
    head = ("--head", "detected_prototypes", "--strength", 0.01)
    worlds.run("adapt", *args, *head)
    worlds.run("predict", "--model", out, "--texts", support, "--out", answers)
    found = [answer["entities"] for answer in worlds.read_jsonl(answers)]
    right = [set(e["text"].split()) == {e["type"]} for row in found for e in row]
    assert sum(right) > 0.7 * max(len(right), len(rows))
    assert not any(
        before["end"] + 1 == after["start"]
        for row in found
        for before, after in itertools.pairwise(row)
    )


def test_a_directory_decodes_as_it_was_adapted(world, tmp_path):
    support = worlds.write_jsonl(tmp_path / "support.jsonl", entity_rows()[:8])
    found = {}
    for threshold in (0, 1000):
        out, answers = tmp_path / f"out{threshold}", tmp_path / f"{threshold}.jsonl"
        options = ("--task", "entities", "--label", "tags", "--entity-typing", "spans")
        args = ("--support", support, "--model", world.model, "--out", out, *options)
        worlds.run("adapt", *args, "--entity-threshold", threshold)
        worlds.run("predict", "--model", out, "--texts", support, "--out", answers)
        found[threshold] = [row["entities"] for row in worlds.read_jsonl(answers)]
    assert any(found[0])
    assert not any(found[1000])
    content = (tmp_path / "out1000" / "config.json").read_text()
    changed = content.replace('"entity_threshold"', '"entity_limit"')
    (tmp_path / "out1000" / "config.json").write_text(changed)
    with pytest.raises(ValueError, match="decoding=.*adapt it again"):
        workflows.Predictor(tmp_path / "out1000")


@pytest.mark.parametrize("option", [("--pooling", "first"), ("--model", "minilm")])
def test_a_run_is_not_changed_by_settings_of_its_model(
    option, support, trained, tmp_path, capsys
):
    args = ("--support", support, "--run", trained, "--out", tmp_path / "out")
    assert cli.main(["adapt", *map(str, args), *option]) == 2
    assert f"{option[0]} would change what the run" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_settings_that_are_none_are_refused():
    with pytest.raises(ValueError, match="no setting 'poling'"):
        without_run(poling="mean")


def test_the_directory_tells_its_task_and_length(support, world, tmp_path):
    out = tmp_path / "out"
    args = ("--support", support, "--model", world.model, "--out", out, *COLUMNS)
    worlds.run("adapt", *args)
    saved = json.loads((out / "config.json").read_text())["metaflax"]
    assert saved["task"] == "classification"
    assert saved["max_length"] == worlds.POSITIONS


def test_a_new_output_layer_starts_from_the_seed_of_the_config(tmp_path):
    bert = worlds.save_bert(tmp_path / "bert")
    support = worlds.write_jsonl(tmp_path / "support.jsonl", worlds.records(count=2))
    config = without_run(str(bert), "fine_tuning", head="linear", num_steps=1)
    kernels = []
    for number, seed in enumerate((0, 7, 0)):
        training = dataclasses.replace(config.training, seed=seed)
        seeded = dataclasses.replace(config, training=training)
        out = workflows.adapt(support, tmp_path / f"out{number}", config=seeded)
        kernels.append(models.load(out).head["kernel"])
    assert (kernels[0] == kernels[2]).all()
    assert (kernels[0] != kernels[1]).any()
