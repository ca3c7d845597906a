"""Tests that a recipe trains an encoder from a folder of data."""

import dataclasses
import itertools
import json

import numpy as np
import pytest

import metaflax
from metaflax import cli, models, recipes
from metaflax import config as config_lib
from metaflax.cli.commands._mix import Mix
from metaflax.config._files import to_json
from metaflax.recipes import _general
from tests.workflows import worlds


def save_member(folder, rows, splits, licence=None):
    folder.mkdir(parents=True)
    worlds.write_jsonl(folder / "examples.jsonl", rows)
    (folder / "splits.json").write_text(json.dumps(splits))
    if licence:
        (folder / "README.md").write_text(f"# Texts\n\n- Licence: {licence}\n")


@pytest.fixture
def folder(tmp_path):
    """Requests by two topics, and pairs of texts in three domains."""
    rng = np.random.default_rng(0)
    topics = [*itertools.combinations(worlds.TOPICS, 2)][:30]
    requests = [
        {"text": text, "label": " ".join(pair)}
        for pair in topics
        for text in worlds.texts(pair, 8, rng)
    ]
    classes = [" ".join(pair) for pair in topics]
    splits = {"train": classes[:20], "valid": classes[20:25], "test": classes[25:]}
    save_member(tmp_path / "data" / "intents", requests, splits, "CC BY 3.0")
    domains = ("films", "tweets", "letters")
    pairs = [
        {"text": one["text"], "text_pair": other["text"], "domain": domain}
        | {"label": "entailment" if number % 2 else "neutral"}
        for domain in domains
        for number in range(40)
        for one, other in [(requests[number], requests[number + number % 2])]
    ]
    names = ("train", "valid", "test")
    by_domain = {name: [d] for name, d in zip(names, domains, strict=True)}
    save_member(tmp_path / "data" / "entailment", pairs, by_domain)
    return tmp_path / "data"


def test_members_are_those_of_which_the_folder_has_data(folder):
    config = recipes.build("general", folder)
    assert list(config.members) == ["entailment", "intents"]
    config_lib.check_mixture(config)
    entailment = config.members["entailment"]
    assert entailment.data.split_file == str(folder / "entailment" / "splits.json")
    assert entailment.pair_encoding == "two_towers"
    (folder / "words").mkdir()
    (folder / "words" / "examples.jsonl").write_text("")
    assert recipes.general(folder).members["words"].data.split_file is None


def test_every_kind_makes_a_member(tmp_path):
    for name in _general.KINDS:
        (tmp_path / name).mkdir()
        (tmp_path / name / "examples.jsonl").write_text("")
    config = recipes.general(tmp_path)
    config_lib.check_mixture(config)
    assert list(config.members) == list(_general.KINDS)
    # It is read again from a run directory.
    content = json.loads(json.dumps(to_json(config)))
    assert config_lib.from_json(content, config_lib.MixtureConfig) == config


def test_options_replace_the_settings_of_a_recipe(folder):
    usual = recipes.general(folder)
    named = {"learning_rate": 5e-5, "eval_every": 7, "valid_episodes": 3, "seed": 5}
    named["interpolate"] = (0.5, 1.0)
    command = Mix(
        recipe="general", data=folder, dtype="bfloat16", test_episodes=4, **named
    )
    config = command._settings()
    assert config.training == dataclasses.replace(usual.training, **named)
    assert config.evaluation.test_episodes == 4
    assert config.model == dataclasses.replace(usual.model, dtype="bfloat16")


def test_a_recipe_of_ones_own_is_an_import_path(folder):
    path = "metaflax.recipes._general:general"
    assert recipes.build(path, folder) == recipes.general(folder)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("mix",), "is a --config or a --recipe; give one"),
        (("mix", "--recipe", "general"), "give --recipe and --data together"),
        (("mix", "--recipe", "special", "--data", "."), "unknown recipe 'special'"),
        (("train", "--recipe", "general", "--data", "."), "has no data of the recipe"),
        (("mix", "--config", "a.py", "--data", "."), "--recipe and --data together"),
    ],
)
def test_what_is_no_recipe_is_refused_in_a_sentence(
    options, problem, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert cli.main([*options, "--run-dir", "run"]) == 2
    error = capsys.readouterr().err
    assert problem in " ".join(error.split())
    assert not (tmp_path / "run").exists()


@pytest.mark.thorough
def test_the_command_makes_an_encoder_with_a_card(folder, tmp_path, monkeypatch):
    run_dir, out = tmp_path / "run", tmp_path / "adapted"
    monkeypatch.setattr(worlds, "POSITIONS", 128)
    with worlds.apart(tmp_path):
        bert = worlds.save_bert(tmp_path / "bert")
        options = ["--model", bert, "--steps", 3, "--run-dir", run_dir]
        worlds.run("train", "--recipe", "general", "--data", folder, *options)
        card = (run_dir / "model" / "README.md").read_text("utf-8")
        assert "- intents (`classification`, " in card
        assert 'licence "CC BY 3.0", as its README.md states' in card
        [entailment] = [line for line in card.splitlines() if "- entailment" in line]
        assert entailment.endswith("licence not stated")
        results = json.loads((run_dir / "results.json").read_text())
        before = results["members"]["intents"]["intervals"]["before"]["accuracy"]
        assert f"| intents | accuracy | {before['mean']:.3f} ± " in card
        assert models.load(run_dir / "model").params.keys()
        support = worlds.write_jsonl(tmp_path / "few.jsonl", worlds.records(count=2))
        model = ("--model", run_dir / "model")
        worlds.run("adapt", "--support", support, *model, "--out", out)
        assert len(metaflax.load(out)(["topic01 filler01"])) == 1
