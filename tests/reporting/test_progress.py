"""Tests for the progress bar of a run on the terminal."""

import io

from rich.console import Console

from metaflax.reporting._progress import ProgressSink, counting

VALIDATION = {"step": 2, "valid_accuracy": 0.75, "valid_loss": 0.5}


def shown(*records, terminal):
    console = Console(file=io.StringIO(), width=120, force_terminal=terminal)
    sink = ProgressSink(console, num_steps=4, tasks_per_step=8, start=1)
    for record in records:
        sink.write(record)
    sink.close()
    return console.file.getvalue()


def test_elsewhere_than_on_a_terminal_each_validation_is_one_line():
    step = {"step": 2, "loss": 0.25, "grad_norm": 1.0}
    text = shown(step, VALIDATION, terminal=False)
    assert text == "step     2: validation accuracy 0.7500, loss 0.5000\n"


def test_a_terminal_shows_steps_taken_and_the_latest_loss():
    text = shown({"step": 3, "loss": 0.25, "grad_norm": 1.0}, terminal=True)
    assert "3/4" in text
    assert "loss 0.2500" in text


def test_a_count_of_things_is_shown_on_a_terminal_alone():
    for terminal in (True, False):
        console = Console(file=io.StringIO(), width=120, force_terminal=terminal)
        with counting(console, 7, doing="doing", unit="things") as done:
            done(2)
            done(3)
        assert ("things," in console.file.getvalue()) == terminal
        assert ("5/7" in console.file.getvalue()) == terminal
