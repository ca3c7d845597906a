"""Tests that prediction uses features of capitals as adaptation did."""

import dataclasses
import json

import pytest

from metaflax import cli, config, models, tasks, workflows
from metaflax.config import _files
from metaflax.few_shot._settings import LearnerSettings
from metaflax.few_shot._sources import load_learner
from metaflax.tasks._sentences import SENTENCE
from tests.workflows import worlds

# The same word to the tokenizer: only its capital tells whether it is an entity.
SUPPORT = [{"tokens": ["topic00", "Topic00"], "label": ["O", "B-name"]}]


@pytest.fixture(scope="module")
def adapted(tiny_bert, tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapted")
    support = worlds.write_jsonl(folder / "support.jsonl", SUPPORT)
    options = ("--task", "entities", "--capitals", "True", "--temperature", 100)
    args = ("--support", support, "--model", tiny_bert, "--out", folder / "out")
    worlds.run("adapt", *args, *options)
    return folder / "out"


def test_an_adapted_directory_tells_words_by_their_capitals(adapted):
    loaded, predictor = models.load(adapted), workflows.Predictor(adapted)
    assert loaded.capitals
    assert loaded.head["kernel"].shape[0] == loaded.config.hidden_size + 1
    content = json.loads((adapted / "config.json").read_text())
    assert content["architectures"] == ["BertModel"]
    texts = ["topic00 Topic00 topic00", "topic00 topic00 topic00"]
    sentences = [SENTENCE.read(tasks.Fields({"text": t}, "")) for t in texts]
    found = [row["entities"] for row in predictor(sentences)]
    assert [[entity["text"] for entity in each] for each in found] == [["Topic00"], []]


def test_graphs_have_no_capitals(adapted, tmp_path, capsys):
    args = ("--model", adapted, "--out", tmp_path / "out", "--format", "stablehlo")
    assert cli.main(["export", *map(str, args)]) == 2
    assert "graphs take what the tokenizer makes of them" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_other_task_types_have_no_capitals():
    wrong = config.Config(
        model=config.ModelConfig(capitals=True), data=config.DataConfig(path="a.csv")
    )
    with pytest.raises(ValueError, match="and the task type is 'classification'"):
        config.check(wrong)


def test_a_run_of_an_earlier_version_has_none():
    written = json.loads(_files.to_json(config.Config()))
    del written["model"]["capitals"]
    assert config.from_json(json.dumps(written)) == config.Config()


def test_an_estimator_has_them_on_request(tiny_bert):
    settings = LearnerSettings(model=str(tiny_bert), task="entities")
    plain, richer = (
        load_learner(dataclasses.replace(settings, capitals=capitals))
        for capitals in (None, True)
    )
    assert richer.encoder.num_features == plain.encoder.num_features + 1
