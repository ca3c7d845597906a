"""Fuzzing of the configs of run directories, and of Python files with a config."""

import dataclasses
import json

import pytest

from metaflax import config as config_lib
from metaflax.config._files import to_json
from metaflax.config._pretraining import check_pretraining
from metaflax.workflows.runs._run_directory import RunDirectory
from tests.fuzz.damage import (
    SIZES,
    as_json,
    changed,
    files_like,
    inputs,
    read_or_refused,
    refusal,
)

pytestmark = pytest.mark.thorough

MIXTURE = config_lib.MixtureConfig(
    members={
        "intents": config_lib.TaskMember(
            data=config_lib.DataConfig(path="a.jsonl", split_names={"train": ("a",)})
        ),
        "text": config_lib.TextMember(config_lib.RawTextConfig(text="raw.txt")),
    }
)
KINDS = {
    "run": (config_lib.Config(), config_lib.check),
    "pretraining": (config_lib.PretrainConfig(), check_pretraining),
    "mixture": (MIXTURE, config_lib.check_mixture),
}


def plain(config):
    return json.loads(to_json(config))


def checked(config, check):
    """Checks that a config can be checked, and written and read again."""
    if config is None:
        return
    _, refused = refusal(check, config)
    assert refused is None or "\n" not in refused
    written = to_json(config)
    again = config_lib.from_json(written, type(config))
    assert to_json(again) == written


@SIZES
@pytest.mark.parametrize("kind", list(KINDS))
def test_odd_settings_are_refused(kind, thousands, tmp_path):
    config, check = KINDS[kind]
    directory = RunDirectory(tmp_path, type(config))
    path = tmp_path / "config.json"

    @inputs(120, thousands, content=changed(plain(config)))
    def _(content):
        path.write_text(as_json(content))
        checked(read_or_refused(lambda _: directory.config(), path), check)


@SIZES
@pytest.mark.parametrize("kind", list(KINDS))
def test_damaged_configs_are_read_or_refused(kind, thousands, tmp_path):
    config, check = KINDS[kind]
    directory = RunDirectory(tmp_path, type(config))
    path = tmp_path / "config.json"

    @inputs(80, thousands, damage=files_like(to_json(config).encode()))
    def _(damage):
        path.write_bytes(damage)
        checked(read_or_refused(lambda _: directory.config(), path), check)


@SIZES
def test_damaged_records_of_a_run_are_read_or_refused(thousands, tmp_path):
    directory = RunDirectory(tmp_path)
    path = tmp_path / "selected.json"
    content = {"best_step": 3, "share": 1.0, "num_classes": 5}

    @inputs(80, thousands, damage=files_like(json.dumps(content).encode()))
    def _(damage):
        path.write_bytes(damage)
        read_or_refused(lambda _: directory.selected(), path)


SCRIPT = """
from metaflax import config as c
config = c.Config(training=c.TrainingConfig(steps=3, interpolate=(0.5, 1.0)))
"""


@SIZES
def test_damaged_python_configs_are_read_or_refused(thousands, tmp_path):
    path = tmp_path / "settings.py"

    @inputs(80, thousands, damage=files_like(SCRIPT.encode()))
    def _(damage):
        path.write_bytes(damage)
        checked(read_or_refused(config_lib.load_file, path), config_lib.check)


def test_the_files_that_are_damaged_are_good(tmp_path):
    (tmp_path / "settings.py").write_text(SCRIPT)
    assert config_lib.load_file(tmp_path / "settings.py").training.steps == 3
    for config, _ in KINDS.values():
        again = config_lib.from_json(to_json(config), type(config))
        assert dataclasses.asdict(again) == dataclasses.asdict(config)
