"""Tests that data that changed after training are refused, with the changes."""

import json
import shutil

import pytest

from metaflax import cli
from metaflax.workflows.runs import _data_record
from tests.workflows import worlds

ROWS = worlds.records()
SPLIT = {name: list(topics) for name, topics in worlds.SPLIT.items()}


def changed(number, **fields):
    """The rows with another text or label at one place."""
    return [{**row, **fields} if n == number else row for n, row in enumerate(ROWS)]


def renamed(old, new):
    return [
        {**row, "label": new if row["label"] == old else row["label"]} for row in ROWS
    ]


def moved(name, source, target):
    split = {split: list(names) for split, names in SPLIT.items()}
    split[source].remove(name)
    split[target].append(name)
    return split


FIRST, LAST = worlds.TOPICS[0], worlds.TOPICS[-1]
# Rows and split after a change, and a part of the message.
CHANGES = {
    "class moved": (
        ROWS,
        moved(FIRST, "train", "test"),
        [f"class {FIRST!r} moved from train to test", "test has 80 texts"],
    ),
    "class gone": (
        ROWS,
        {**SPLIT, "train": SPLIT["train"][1:]},
        [f"class {FIRST!r} of train is gone", "train has 100 texts instead of 120"],
    ),
    "class renamed": (
        renamed(LAST, "zebra"),
        {**SPLIT, "test": [*SPLIT["test"][:-1], "zebra"]},
        [f"class {LAST!r} of test is gone", "class 'zebra' of test is new"],
    ),
    "splits exchanged": (
        ROWS,
        {**SPLIT, "valid": SPLIT["test"], "test": SPLIT["valid"]},
        ["moved from test to valid", "moved from valid to test"],
    ),
    "text edited": (changed(0, text="other"), SPLIT, ["texts or labels of train dif"]),
    "label changed": (
        changed(0, label=worlds.TOPICS[1]),
        SPLIT,
        ["texts or labels of train differ"],
    ),
    "row gone": (ROWS[:-1], SPLIT, ["test has 59 texts instead of 60"]),
    "row added": ([*ROWS, ROWS[0]], SPLIT, ["train has 121 texts instead of 120"]),
    "order": (ROWS[::-1], SPLIT, ["the texts of train are in another order"]),
}


@pytest.fixture(scope="module")
def run(world, tmp_path_factory):
    """A run with its own data: its folder, data file and split file."""
    folder = tmp_path_factory.mktemp("changed")
    rows, split = folder / "rows.jsonl", folder / "split.json"
    shutil.copy(world.data, rows)
    shutil.copy(world.split, split)
    worlds.run(*world.train_args(folder / "run", data=rows, split_file=split))
    return folder / "run", rows, split


def contents(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path: path.read_bytes() for path in files}


def refused(run, change, capsys, *command):
    """Runs a command after a change; returns its error message."""
    path, rows, split = run
    before = contents(path)
    worlds.write_jsonl(rows, CHANGES[change][0])
    split.write_text(json.dumps(CHANGES[change][1]))
    assert cli.main([str(arg) for arg in command]) == 2
    assert contents(path) == before
    error = capsys.readouterr().err
    assert f"metaflax: {path} was trained on other data: " in error
    assert f"Restore {rows} and {split}, or train a new run." in error
    return error


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_refused_by_name(change, run, capsys):
    error = refused(run, change, capsys, "evaluate", run[0], "--test-episodes", 2)
    for message in CHANGES[change][2]:
        assert message in error


def test_every_command_that_draws_episodes_looks(world, run, capsys):
    path, rows, split = run
    for command in (
        world.train_args(path, data=rows, split_file=split),
        ["replay", path, "--step", 1],
    ):
        refused(run, "class moved", capsys, *command)


def test_data_as_they_were_are_taken_in_any_form(world, run):
    path, rows, split = run
    rows.write_text(
        "".join(json.dumps({"n": 1, **row}, indent=None) + "\n" for row in ROWS)
    )
    split.write_text(json.dumps(SPLIT, indent=4))
    worlds.run("evaluate", path, "--test-episodes", 2)


def test_a_run_of_an_earlier_release_has_no_record(world, run, tmp_path):
    path, rows, split = run
    worlds.write_jsonl(rows, ROWS[:-1])
    split.write_text(json.dumps(SPLIT))
    shutil.copytree(path, tmp_path / "run")
    (tmp_path / "run" / "data.json").unlink()
    worlds.run("evaluate", tmp_path / "run", "--test-episodes", 2)


@pytest.mark.parametrize("content", ["", "[1]", '{"train": {}}', '{"train": 1}'])
def test_a_damaged_record_is_named(content, tmp_path):
    (tmp_path / "data.json").write_text(content)
    record = {"train": {"texts": 1, "digest": "x"}}
    with pytest.raises(ValueError, match=r"data.json is damaged"):
        _data_record.check_record(tmp_path, record, "rows")


class Opaque:
    """An input of a user's task type, whose representation is its address."""


def test_a_record_is_the_same_in_each_process():
    one, two = ([Opaque(), ("a", {"b": 1.5}), {2, 3}] for _ in range(2))
    assert _data_record._plain(one) == _data_record._plain(two)
