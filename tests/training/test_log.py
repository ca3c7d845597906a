"""Tests for log sinks."""

import json
import sys

import pytest

from metaflax import training
from metaflax.training._log import LOG_SINKS, TensorBoardLog


def written(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_record_is_a_line_and_there_at_once(tmp_path):
    log = training.JsonlLog(tmp_path / "log.jsonl")
    log.write({"step": 1, "loss": 0.5})
    log.write({"step": 2, "loss": 0.25})
    assert written(tmp_path / "log.jsonl") == [
        {"step": 1, "loss": 0.5},
        {"step": 2, "loss": 0.25},
    ]
    log.close()


def test_a_resumed_log_drops_what_will_come_again_and_half_written_lines(tmp_path):
    path = tmp_path / "log.jsonl"
    whole = [json.dumps({"step": step}) for step in range(4)]
    path.write_text("\n".join(["null", '{"loss": 1}', *whole, '{"step": 1, "lo']))
    log = training.JsonlLog(path, resume_after=2)
    log.write({"step": 3, "again": True})
    log.close()
    assert written(path) == [
        {"step": 0},
        {"step": 1},
        {"step": 2},
        {"step": 3, "again": True},
    ]


def test_a_log_may_begin_in_the_middle_of_nothing(tmp_path):
    training.JsonlLog(tmp_path / "log.jsonl", resume_after=7).close()
    assert written(tmp_path / "log.jsonl") == []


def test_tensorboard_gets_the_numbers_of_a_record(tmp_path):
    pytest.importorskip("tensorboardX")
    log = TensorBoardLog(tmp_path)
    log.write({"step": 3, "loss": 0.5, "note": "words"})
    log.close()
    (events,) = (tmp_path / "tensorboard").glob("events.out.tfevents.*")
    content = events.read_bytes()
    assert b"loss" in content
    assert b"note" not in content
    assert b"step" not in content


class StandInTracker:
    """Records calls of the interface of wandb and trackio, or MLflow's."""

    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        return lambda *args, **kwargs: self.calls.append((name, args, kwargs))


@pytest.mark.parametrize("name", ["wandb", "trackio", "mlflow"])
def test_a_tracker_gets_the_numbers_of_a_record(name, tmp_path, monkeypatch):
    tracker = StandInTracker()
    monkeypatch.setitem(sys.modules, name, tracker)
    sink = LOG_SINKS[name](tmp_path / "run")
    sink.write({"step": 3, "loss": 0.5, "member": "words"})
    sink.close()
    started, logged, ended = tracker.calls
    assert "run" in started[2].values()
    assert logged[1:] == (({"loss": 0.5},), {"step": 3})
    assert ended[0] in ("finish", "end_run")


@pytest.mark.parametrize("name", ["wandb", "trackio", "mlflow"])
def test_a_tracker_that_is_not_installed_names_its_extra(name, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ValueError, match=rf"pip install 'metaflax\[{name}\]'"):
        LOG_SINKS[name](tmp_path)
