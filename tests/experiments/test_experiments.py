"""Tests that the config of each experiment loads, and says how it is run."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from metaflax import config as config_lib
from metaflax.algorithms._table import ALGORITHMS
from metaflax.config._factories import TASKS
from metaflax.config._files import to_json
from metaflax.config._search import check_search
from tests.experiments import scripts
from tests.workflows import worlds

CONFIGS = sorted(scripts.EXPERIMENTS.glob("*/config.py"))
SCRIPTS = sorted(
    path
    for path in scripts.EXPERIMENTS.glob("*/*.py")
    if "__main__" in path.read_text("utf-8")
)

pytestmark = pytest.mark.skipif(not CONFIGS, reason="experiments are not beside tests")


def name_of(path):
    return path.parent.name


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("METAFLAX_DATA", str(tmp_path / "data"))
    with worlds.apart(tmp_path):
        yield tmp_path


@pytest.mark.parametrize("path", CONFIGS, ids=name_of)
def test_every_config_loads_and_names_what_there_is(path, folder):
    config = config_lib.load_file(path)
    config_lib.check(config)
    assert config_lib.from_json(to_json(config)) == config
    assert config.algorithm.name in ALGORITHMS
    assert config.data.task in TASKS
    source = Path(config.data.path)
    if source.is_relative_to("runs"):  # Made by the experiment's own script.
        assert source.parts[1] == name_of(path)
        assert (path.parent / "prepare.py").is_file()
    elif config.data.path != "scored-texts":  # Given.
        assert source.is_relative_to(folder / "data")


@pytest.mark.parametrize("path", CONFIGS, ids=name_of)
def test_every_config_opens_with_its_command_and_what_to_expect(path):
    opening = path.read_text().split('"""')[1]
    assert "python -m metaflax" in opening
    assert "xpected" in opening


@pytest.mark.parametrize(
    "path", SCRIPTS, ids=lambda path: f"{path.parent.name}/{path.stem}"
)
def test_every_script_finds_the_folder_of_experiments(path):
    before, *rest = re.split(
        r"^ *(?:from|import) experiments\b", path.read_text("utf-8"), flags=re.MULTILINE
    )
    assert not rest or "sys.path.append(str(Path(__file__).parents[2]))" in before


def test_a_script_runs_from_any_folder(tmp_path):
    script = scripts.EXPERIMENTS / "rejection" / "run.py"
    environment = {"PATH": "", "HOME": str(tmp_path)}
    command = [sys.executable, str(script), "--help"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)


def test_the_search_tries_what_there_is(folder):
    path = scripts.EXPERIMENTS / "search" / "search.py"
    check_search(config_lib.load_file(path, config_lib.SearchConfig))
