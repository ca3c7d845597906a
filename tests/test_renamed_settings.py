"""Tests that former names of settings are accepted, with a warning.

Run directories, config files and search spaces of the last release have them.
"""

import dataclasses
import json

import pytest

from metaflax import config as config_lib
from metaflax.config import _renamed
from metaflax.config._files import to_json
from metaflax.config._search import check_search, with_settings
from metaflax.workflows import RunDirectory

CONFIG = config_lib.Config(
    model=config_lib.ModelConfig("bert", layer_loop="scan"),
    data=config_lib.DataConfig("texts.jsonl"),
    algorithm=config_lib.AlgorithmConfig("maml"),
    training=config_lib.TrainingConfig(task_loop="vmap", max_skipped_steps=3),
)


def former_json(config):
    """The JSON of a config in the last release."""
    content = json.loads(to_json(config))
    for former, current in _renamed.RENAMED.items():
        group, name = current.split(".")
        if name in content.get(group, {}):
            content[group][former.split(".")[1]] = content[group].pop(name)
    return json.dumps(content)


def warnings_of(record):
    return sorted(str(warning.message).partition(";")[0] for warning in record)


RENAMES = sorted(
    f"the setting {former} is now {current}"
    for former, current in _renamed.RENAMED.items()
    if not former.startswith("network.")
)


def test_former_names_load_from_json_and_each_is_warned_of():
    with pytest.warns(FutureWarning) as record:
        assert config_lib.from_json(former_json(CONFIG)) == CONFIG
    assert warnings_of(record) == RENAMES


def test_pretraining_and_members_of_mixtures_have_former_names_too():
    pretraining = config_lib.PretrainConfig(
        network=config_lib.NetworkConfig(layer_loop="scan"),
        training=config_lib.LoopConfig(max_skipped_steps=2),
    )
    text = former_json(pretraining)
    with pytest.warns(FutureWarning) as record:
        assert config_lib.from_json(text, config_lib.PretrainConfig) == pretraining
    assert warnings_of(record) == [
        "the setting network.layers_by is now network.layer_loop",
        "the setting training.most_skipped is now training.max_skipped_steps",
    ]
    mixture = config_lib.MixtureConfig(
        members={"topics": config_lib.TaskMember(config_lib.DataConfig("a.jsonl"))}
    )
    text = to_json(mixture).replace('"path"', '"data"')
    with pytest.warns(FutureWarning, match="data.data is now data.path"):
        assert config_lib.from_json(text, config_lib.MixtureConfig) == mixture


def test_a_run_directory_of_the_last_release_is_resumed_as_unchanged(tmp_path):
    run = RunDirectory(tmp_path / "run")
    run.begin(CONFIG)
    (run.path / "config.json").write_text(former_json(CONFIG))
    with pytest.warns(FutureWarning) as record:
        run.check(CONFIG)
    assert warnings_of(record) == RENAMES
    assert json.loads((run.path / "config.json").read_text())["data"]["data"]


@pytest.mark.parametrize("config", [config_lib.Config(), config_lib.MixtureConfig()])
def test_a_run_keeps_the_former_defaults_that_it_recorded(config, tmp_path):
    """These settings now depend on the model unless the command sets them."""
    former = config_lib.ModelConfig(pooling="mean", standardize=True)
    run = RunDirectory(tmp_path / "run", type(config))
    run.path.mkdir()
    recorded = dataclasses.replace(config, model=former)
    (run.path / "config.json").write_text(to_json(recorded))
    with run.reserved(config) as resumed:
        assert resumed == recorded
    other = dataclasses.replace(config.model, pooling="first")
    with (
        pytest.raises(ValueError, match="model.pooling: 'first', not 'mean'"),
        run.reserved(dataclasses.replace(config, model=other)),
    ):
        pass


@pytest.mark.parametrize("recorded", ["two_towers", "one_sequence", None])
def test_a_run_keeps_what_followed_from_its_model(recorded, tmp_path):
    run = RunDirectory(tmp_path / "run")
    model = config_lib.ModelConfig(pair_encoding=recorded)
    run.begin(config_lib.Config(model=model))
    with run.reserved(config_lib.Config()) as resumed:
        assert resumed.model.pair_encoding == recorded


def test_former_names_are_keyword_arguments_in_a_config_file(tmp_path):
    path = tmp_path / "config.py"
    path.write_text(
        "from metaflax.config import *\n"
        "config = Config(\n"
        "    model=ModelConfig(model='bert', layers_by='scan'),\n"
        "    data=DataConfig(data='texts.jsonl'),\n"
        "    algorithm=AlgorithmConfig(algorithm='maml'),\n"
        "    training=TrainingConfig(tasks_by='vmap', most_skipped=3),\n"
        ")\n"
    )
    with pytest.warns(FutureWarning) as record:
        assert config_lib.load_file(path) == CONFIG
    assert warnings_of(record) == RENAMES


def test_former_names_stand_in_the_space_of_a_search():
    choice = config_lib.Choice(("maml", "anil"))
    with pytest.warns(FutureWarning, match="algorithm.algorithm is now algorithm.name"):
        search = config_lib.SearchConfig(CONFIG, {"algorithm.algorithm": choice})
    assert search == config_lib.SearchConfig(CONFIG, {"algorithm.name": choice})
    check_search(search)
    with pytest.warns(FutureWarning, match="algorithm.name"):
        changed = with_settings(CONFIG, {"algorithm.algorithm": "anil"})
    assert changed.algorithm.name == "anil"


def test_a_setting_under_both_names_is_refused():
    with (
        pytest.warns(FutureWarning),
        pytest.raises(ValueError, match="algorithm.name is given twice"),
    ):
        config_lib.AlgorithmConfig(algorithm="maml", name="anil")  # pyright: ignore


def test_the_command_line_keeps_its_short_options():
    from metaflax.cli._main import parse

    settings = parse(
        ["train", "--algorithm", "maml", "--data", "texts.jsonl", "--model", "bert"]
    ).settings
    assert settings.algorithm.name == "maml"
    assert settings.data.path == "texts.jsonl"
    assert settings.model.name == "bert"
