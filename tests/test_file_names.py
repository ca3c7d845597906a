"""Tests that names from data and settings cannot refer to other files."""

import pytest

from metaflax import config as config_lib
from metaflax.config._names import check_file_name
from metaflax.workflows.meta_testing import _evaluate
from metaflax.workflows.runs._run_directory import RunDirectory

EVIL = {
    "above": "../evil",
    "inside": "a/evil",
    "absolute": "/tmp/evil",
    "backslash": "..\\evil",
    "drive": "C:evil",
    "NUL": "a\0evil",
    "line": "a\nevil",
    "surrogate": "\ud800",
    "empty": "",
    "blank": " ",
    "dot": ".",
    "dots": "..",
    "hidden": ".evil",
    "option": "-evil",
    "last dot": "evil.",
    "last space": "evil ",
    "long": "x" * 201,
    "long in bytes": "語" * 67,
}
GOOD = ["evaluation", "5-shot", "5-shot, seed 1", "v1.2", "Übung", "a=b", "x" * 200]


@pytest.fixture
def evil(request):
    return EVIL[request.param]


each_evil = pytest.mark.parametrize("evil", list(EVIL), indirect=True)


@each_evil
def test_what_would_lead_elsewhere_cannot_name_a_file(evil):
    with pytest.raises(ValueError, match="cannot name a file") as caught:
        check_file_name(evil)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("name", GOOD)
def test_plain_names_are_those_of_files(name, tmp_path):
    check_file_name(name)
    directory = RunDirectory(tmp_path)
    directory.write_json(f"{name}.json", [name])
    assert directory.read_json(f"{name}.json") == [name]
    assert [path.name for path in tmp_path.iterdir()] == [f"{name}.json"]


@each_evil
def test_members_results_and_records_stay_in_their_run(evil, tmp_path, capsys):
    directory = RunDirectory(tmp_path / "run")
    (tmp_path / "run").mkdir()
    calls = [
        lambda: directory.member(evil),
        lambda: directory.write_json(evil, 3),
        lambda: directory.read_json(evil),
        lambda: _evaluate.evaluate(tmp_path / "run", None, name=evil),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="cannot name a file"):
            call()
    assert [path.name for path in tmp_path.rglob("*")] == ["run"]


def test_results_replace_no_file_of_the_run_however_they_are_spelled():
    for name in ("config", "Config", "SELECTED", "cost", "replay"):
        with pytest.raises(ValueError, match="is a file of the run itself"):
            RunDirectory.check_result_name(name)


@each_evil
def test_members_of_a_mixture_have_plain_names(evil):
    config = config_lib.MixtureConfig(
        members={evil: config_lib.TaskMember(config_lib.DataConfig("a.jsonl"))}
    )
    with pytest.raises(ValueError, match="cannot name a file"):
        config_lib.check_mixture(config)


@pytest.mark.parametrize(
    ("one", "other"), [("Intents", "intents"), ("straße", "STRASSE"), ("é", "e\u0301")]
)
def test_members_that_would_share_a_folder_are_refused(one, other):
    member = config_lib.TaskMember(config_lib.DataConfig("a.jsonl"))
    config = config_lib.MixtureConfig(members={one: member, other: member})
    with pytest.raises(ValueError, match="would share a folder|digits, _ and -"):
        config_lib.check_mixture(config)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff", b"[]", b'{"best_step": 3}', b"[" * 100_000]
)
def test_a_damaged_record_of_a_run_is_named(content, tmp_path):
    directory = RunDirectory(tmp_path)
    (tmp_path / "selected.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"selected\.json (cannot be|is damaged)"):
        directory.selected()
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"config\.json: "):
        directory.config()
