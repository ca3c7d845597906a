"""Tests for `search`: trials, results, held-out data and interruptions."""

import json
import signal
import subprocess
import sys

import jax
import pytest

from metaflax import cli, data, training, workflows
from metaflax import config as config_lib
from metaflax.config import Choice, LogUniform, SearchConfig, Uniform
from metaflax.config._files import differences
from metaflax.config._python import to_python
from metaflax.workflows.meta_training import _search, _trials
from tests.workflows import worlds

pytestmark = pytest.mark.thorough

SPACE = {
    "training.learning_rate": LogUniform(1e-4, 3e-2),
    "algorithm.head": Choice(("prototypes", "ridge")),
    "training.trains": Choice((("*",), ("*", "!encoder/embeddings"))),
    "algorithm.label_smoothing": Uniform(0, 0.2),
}


def base_of(world, **options):
    usual = {"steps": 3, "eval_every": 1, "valid_episodes": 8}
    args = world.train_args("unused", **{**usual, **options})
    return cli.parse([str(arg) for arg in args]).settings


def written(path, base, trials=3):
    """Writes the config file of a search."""
    text = to_python(base).replace("config = Config(", "base = Config(")
    path.write_text(
        f"from metaflax.config import SearchConfig, {', '.join(KINDS)}\n{text}\n"
        f"config = SearchConfig(base, {SPACE!r}, trials={trials})\n"
    )
    return path


KINDS = ("Choice", "LogUniform", "Uniform")


def found_in(folder):
    return json.loads((folder / "search.json").read_text())


@pytest.fixture(scope="module")
def searched(world, tmp_path_factory):
    """The config file and the directory of a search of two trials."""
    folder = tmp_path_factory.mktemp("search")
    file = written(folder / "search.py", base_of(world), trials=2)
    worlds.run("search", "--config", file, "--run-dir", folder / "out")
    return file, folder / "out"


def test_a_search_keeps_all_trials_and_the_best_of_them(searched):
    file, folder = searched
    found = found_in(folder)
    trials = found["trials"]
    assert [trial["number"] for trial in trials] == [0, 1]
    assert all(trial["state"] == "complete" for trial in trials)
    assert found["metric"] == "accuracy"
    assert found["best"]["score"] == max(trial["score"] for trial in trials)
    for trial in trials:
        own = folder / "trials" / f"{trial['number']:03}"
        assert not (own / "checkpoints").exists()
        stored = workflows.RunDirectory(own)
        assert stored.selected()["valid_score"] == trial["score"]
        assert trial["score"] == max(trial["validations"].values())
        base = config_lib.load_file(file, SearchConfig).base
        names = {line.split(":")[0] for line in differences(stored.config(), base)}
        assert names <= set(SPACE)
    rates = [trial["settings"]["training.learning_rate"] for trial in trials]
    assert len(set(rates)) == 2
    assert all(1e-4 <= rate <= 3e-2 for rate in rates)
    assert (folder / "search.png").read_bytes().startswith(b"\x89PNG")


def test_the_best_is_a_config_that_train_takes(searched):
    folder = searched[1]
    best = found_in(folder)["best"]
    own = workflows.RunDirectory(folder / "trials" / f"{best['number']:03}").config()
    for name in ("best.py", "best.json"):
        command = cli.parse(["train", "--config", str(folder / name)])
        assert command.settings == own
    assert own.training.learning_rate == best["settings"]["training.learning_rate"]


def test_a_finished_search_started_again_prints_the_same_and_runs_no_trial(
    searched, capsys
):
    file, folder = searched
    before = found_in(folder)
    worlds.run("search", "--config", file, "--run-dir", folder)
    assert found_in(folder) == before
    shown = capsys.readouterr().out
    assert "trial 0," not in shown
    assert "best.py" in shown


@pytest.mark.slow
def test_no_episode_of_a_test_class_is_drawn(world, tmp_path, monkeypatch, silent):
    """The texts of these classes do not matter either."""
    drawn = set()
    episode = data.EpisodeSampler.episode

    def spied(self, seed, index):
        drawn.update(self.examples.label_names)
        return episode(self, seed, index)

    monkeypatch.setattr(data.EpisodeSampler, "episode", spied)
    rows = worlds.records()
    for row in rows:
        if row["label"] in worlds.SPLIT["test"]:
            row["text"] = row["text"].replace(row["label"], "filler07 filler00")
    other = worlds.write_jsonl(tmp_path / "other.jsonl", rows)
    scores = []
    for name, base in (
        ("one", base_of(world)),
        ("other", base_of(world, data=other)),
    ):
        search = SearchConfig(base, SPACE, trials=1)
        found = workflows.search(search, tmp_path / name, silent)
        scores.append([trial["validations"] for trial in found["trials"]])
    assert drawn == {*worlds.SPLIT["train"], *worlds.SPLIT["valid"]}
    assert scores[0] == scores[1]


@pytest.mark.slow
def test_more_trials_go_on_as_if_all_had_been_asked_for_at_once(
    searched, world, tmp_path, silent
):
    for trials in (1, 2):
        search = SearchConfig(base_of(world), SPACE, trials=trials)
        found = workflows.search(search, tmp_path / "out", silent)
        assert found["trials"] == found_in(searched[1])["trials"][:trials]


def test_another_search_in_the_same_directory_is_refused(
    searched, world, tmp_path, silent
):
    search = SearchConfig(base_of(world), SPACE, seed=1)
    with pytest.raises(ValueError, match="a search of another config"):
        workflows.search(search, searched[1], silent)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ValueError, match="holds no search"):
        workflows.search(search, tmp_path, silent)


# Both processes work on a trial before either goes on.
MEETING = """
import sys, time
from metaflax import cli
from metaflax.workflows.meta_training import _search

run_trial = _search._run_trial

def both(claim, *args):
    for _ in range(3000):
        if (claim.folder.parent / "001.lock").exists():
            break
        time.sleep(0.02)
    run_trial(claim, *args)

_search._run_trial = both
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_two_processes_share_the_trials_and_each_is_run_once(world, tmp_path):
    file, folder = written(tmp_path / "search.py", base_of(world), 3), tmp_path / "out"
    args = ["search", "--config", str(file), "--run-dir", str(folder)]
    command = [sys.executable, "-c", MEETING, *args]
    pipe = subprocess.PIPE
    processes = [subprocess.Popen(command, stdout=pipe, text=True) for _ in range(2)]
    said = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    lines = [[x for x in text.splitlines() if x.startswith("trial ")] for text in said]
    assert all(lines)
    numbers = [int(x.split()[1].rstrip(",")) for own in lines for x in own]
    assert sorted(numbers) == list(range(3))
    trials = found_in(folder)["trials"]
    assert {trial["state"] for trial in trials} == {"complete"}
    rates = {trial["settings"]["training.learning_rate"] for trial in trials}
    assert len(rates) == len(trials) == 3  # And none is drawn twice.
    for number in range(3):
        log = worlds.read_jsonl(folder / "trials" / f"{number:03}" / "log.jsonl")
        assert [r["step"] for r in log] == [0, 1, 1, 2, 2, 3, 3]


# Kills itself in the second trial, after its first step.
KILLED = """
import os, signal, sys
from metaflax import cli
from metaflax.workflows.meta_training import _search

write = _search._ReportSink.write

def killed(self, record):
    write(self, record)
    if self.claim.number == 1 and record["step"] == 2:
        os.kill(os.getpid(), signal.SIGKILL)

_search._ReportSink.write = killed
cli.main(sys.argv[1:])
"""


@pytest.mark.slow
def test_a_killed_trial_is_taken_up_again_and_ends_as_if_nothing_had_happened(
    searched, tmp_path
):
    file, whole = searched
    folder = tmp_path / "out"
    args = ["search", "--config", str(file), "--run-dir", str(folder)]
    killed = subprocess.run([sys.executable, "-c", KILLED, *args])
    assert killed.returncode == -signal.SIGKILL
    assert not (folder / "search.json").exists()
    journal = folder / _trials.JOURNAL
    with journal.open("a") as file:
        file.write('{"op_code": 6, "wor')  # As if it had ended while it wrote.
    worlds.run(*args)
    assert found_in(folder)["trials"] == found_in(whole)["trials"]


TOO_LARGE = "RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes."


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("this is too wide."), "this is too wide."),
        (
            jax.errors.JaxRuntimeError(f"{TOO_LARGE}\nAllocations:"),
            f"jax.errors.JaxRuntimeError: {TOO_LARGE}",
        ),
        (AssertionError(), "AssertionError"),
    ],
)
def test_settings_that_make_no_run_are_reported_and_skipped(
    error, reason, world, tmp_path, capsys, monkeypatch
):
    def broken(config, *args, **kwargs):
        if config.algorithm.head == "ridge":
            raise error
        return {"valid_score": 0.5}

    monkeypatch.setattr(_search, "meta_train", broken)
    file, folder = written(tmp_path / "search.py", base_of(world)), tmp_path / "out"
    worlds.run("search", "--config", file, "--run-dir", folder, "--trials", 4)
    found = found_in(folder)
    heads = {t["settings"]["algorithm.head"]: t for t in found["trials"]}
    assert heads["ridge"]["state"] == "failed"
    assert heads["ridge"]["reason"] == reason
    assert heads["prototypes"]["state"] == "complete"
    assert f"failed: {reason}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left"), training.PreemptedError(2, signal.SIGTERM)]
)
def test_a_trial_that_ends_for_another_cause_than_its_settings_resumes(
    error, world, tmp_path, monkeypatch, silent
):
    def ends(*args, **kwargs):
        raise error

    search = SearchConfig(base_of(world), SPACE, trials=1)
    monkeypatch.setattr(_search, "meta_train", ends)
    with pytest.raises(type(error)):
        workflows.search(search, tmp_path / "out", silent)
    monkeypatch.setattr(_search, "meta_train", lambda *_, **__: {"valid_score": 0.5})
    [trial] = workflows.search(search, tmp_path / "out", silent)["trials"]
    assert trial["state"] == "complete"


def test_without_optuna_the_extra_is_named(world, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "optuna", None)
    file = written(tmp_path / "search.py", base_of(world))
    args = ["search", "--config", str(file), "--run-dir", str(tmp_path / "out")]
    assert cli.main(args) == 2
    assert "pip install 'metaflax[search]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.fixture
def trials(tmp_path):
    config = SearchConfig(config_lib.Config(), SPACE, trials=3, prune_after=2)
    return _trials.Trials(tmp_path / "out", config)


def test_trials_below_the_median_are_pruned_and_count_as_done(trials):
    for _ in range(2):
        claim = trials.claim()
        for step, score in enumerate((0.2, 0.6, 0.9)):
            claim.report(step, score)
        claim.complete(0.9)
        claim.lock.release()
    claim = trials.claim()
    claim.report(0, 0.1)  # Before the first step nothing is ended.
    with pytest.raises(_trials.PrunedError):
        claim.report(1, 0.5)
    claim.prune()
    claim.lock.release()
    assert [trial["state"] for trial in trials.records()][2] == "pruned"
    assert trials.claim() is None


def test_an_abandoned_trial_is_not_done_and_is_claimed_again_as_it_was(trials):
    first, other = trials.claim(), trials.claim()
    first.report(0, 0.3)
    first.lock.release()  # As the end of its process does.
    again = trials.claim()
    assert (again.number, again.settings) == (first.number, first.settings)
    again.report(0, 0.4)  # Which is known already.
    again.report(1, 0.5)
    again.complete(0.5)
    assert trials.records()[0]["validations"] == {"0": 0.3, "1": 0.5}
    third = trials.claim()
    assert {other.number, third.number} == {1, 2}
    assert trials.claim() is None  # Two are held.
    for claim in (other, again, third):
        claim.lock.release()
