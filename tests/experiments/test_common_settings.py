"""Tests for grids of baselines' settings and for experiments' scripts as commands."""

import signal
import sys

import pytest

from metaflax import config as config_lib
from metaflax import training
from metaflax.config._factories import resolve_algorithm

common = pytest.importorskip("experiments.common")
_script = pytest.importorskip("experiments.common._script")

CONFIG = config_lib.Config(
    model=config_lib.ModelConfig(pooling="entities", dtype="bfloat16"),
    algorithm=config_lib.AlgorithmConfig(name="maml", head="linear", strength=3.0),
)
GRIDS = [common.frozen_settings, common.fine_tuned_settings]


def test_a_grid_has_every_combination_of_model_and_algorithm():
    settings = common.frozen_settings(
        CONFIG, pooling=("mean", "first"), strength=(0.1, 1.0), standardize=(False,)
    )
    found = [
        (s.model.pooling, s.algorithm.strength, s.model.standardize) for s in settings
    ]
    assert found == [
        *(("mean", 0.1, False), ("mean", 1.0, False)),
        *(("first", 0.1, False), ("first", 1.0, False)),
    ]


@pytest.mark.parametrize("grid", GRIDS)
def test_what_no_choice_names_is_the_runs_own_but_for_its_head(grid):
    for setting in grid(CONFIG):
        assert setting.model.dtype == "bfloat16"
        assert setting.algorithm.strength == 3.0
        assert resolve_algorithm(setting.algorithm.name).is_baseline
        assert setting.algorithm.head != "linear"


def test_fine_tuning_starts_from_the_runs_pooling():
    settings = common.fine_tuned_settings(CONFIG)
    assert {s.model.pooling for s in settings} == {"entities"}


@pytest.mark.parametrize("grid", GRIDS)
def test_a_choice_of_no_setting_is_refused_with_the_known_names(grid):
    with pytest.raises(ValueError, match="unknown setting 'poling'; known:.*pooling"):
        grid(CONFIG, poling=("mean",))


@pytest.mark.parametrize("value", ["ridge", 3])
def test_a_value_that_is_not_in_a_sequence_is_refused(value):
    with pytest.raises(ValueError, match=f"head is {value!r}; give a sequence"):
        common.frozen_settings(CONFIG, head=value)


def test_only_the_program_of_the_process_ends_on_interrupts(monkeypatch):
    calls = []
    monkeypatch.setattr(_script, "end_on_interrupt", lambda: calls.append("program"))
    common.end_program_on_interrupt(__file__)
    assert calls == []
    monkeypatch.setattr(sys.modules["__main__"], "__file__", __file__, raising=False)
    common.end_program_on_interrupt(__file__)
    assert calls == ["program"]


def test_a_line_that_is_no_json_is_named_and_a_blank_one_is_none(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n\n')
    assert common.read_jsonl(path) == [{"a": 1}]
    path.write_text('{"a": 1}\n{"a"\n')
    with pytest.raises(ValueError, match=r"rows\.jsonl:2: not JSON"):
        common.read_jsonl(path)


@pytest.fixture
def script(tmp_path):
    """The path of a script in a folder `mine`, a config beside it."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "config.py").write_text(
        "from metaflax.config import Config, DataConfig\n"
        "config = Config(data=DataConfig(path='mine.csv'))\n"
    )
    return folder / "run.py"


@pytest.mark.parametrize(
    ("args", "folder"), [([], "runs/mine"), (["--runs", "there"], "there")]
)
def test_a_script_runs_on_the_config_beside_it(script, args, folder):
    given = []

    def experiment(config, runs, console):
        given.append((config.data.path, runs.as_posix()))

    assert common.run_script(script, "Doc.", experiment, args) == 0
    assert given == [("mine.csv", folder)]


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (KeyboardInterrupt(), 130, "mine: interrupted; the same command resumes."),
        (training.PreemptedError(4, signal.SIGTERM), 143, "mine: preempted at step 4"),
    ],
)
def test_a_command_that_is_interrupted_has_the_status_of_the_signal(
    error, status, sentence, capsys
):
    def command(console):
        raise error

    assert common.run_command(__file__, "mine", command) == status
    assert capsys.readouterr().err.startswith(sentence)


def test_a_script_says_what_is_wrong_in_a_sentence(script, capsys):
    def experiment(config, runs, console):
        raise ValueError("there is no file mine.csv.")

    assert common.run_script(script, "Doc.", experiment, []) == 2
    assert capsys.readouterr().err == "mine: there is no file mine.csv.\n"


def test_a_script_without_a_config_is_told_so(script, capsys):
    (script.parent / "config.py").unlink()
    assert common.run_script(script, "Doc.", print, []) == 2
    assert "there is no config file" in capsys.readouterr().err.replace("\n", " ")


@pytest.mark.parametrize("name", ["../evil", "a/evil", ".evil", ""])
def test_results_of_baselines_stay_in_their_run(name, tmp_path):
    with pytest.raises(ValueError, match="cannot name a file"):
        common.against_baselines(tmp_path / "run", {}, None, name=name)
    assert not list(tmp_path.iterdir())
