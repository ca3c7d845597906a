"""Tests for the plot of a run."""

import builtins
import json

import numpy as np
import pytest

from metaflax.evaluation import Interval, mean_interval
from metaflax.reporting._plots import plot_run

BEFORE, AFTER = Interval(0.5, 0.05), Interval(0.7, 0.04)


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log.jsonl"
    records = [
        {"step": 0, "valid_accuracy": 0.5, "valid_loss": 1.1},
        {"step": 1, "loss": 1.0, "grad_norm": 0.3},
        {"step": 2, "loss": 0.8, "grad_norm": 0.2},
        {"step": 2, "valid_accuracy": 0.6, "valid_loss": 0.9},
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.mark.parametrize("after", [AFTER, mean_interval(np.array([0.7]))])
def test_a_run_becomes_a_png(after, tmp_path, log):
    pytest.importorskip("matplotlib")
    path = tmp_path / "run.png"
    plot_run(path, log, "accuracy", BEFORE, after, title="maml")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_the_extra_is_named(tmp_path, log, monkeypatch):
    original = builtins.__import__

    def without_matplotlib(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_matplotlib)
    with pytest.raises(ValueError, match=r"pip install 'metaflax\[plots\]'"):
        plot_run(tmp_path / "run.png", log, "accuracy", BEFORE, AFTER, title="")
