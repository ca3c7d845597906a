"""Tests for early stopping."""

import json

import pytest

from metaflax.training._stopping import Stopping


def after(*scores):
    stopping = Stopping()
    for step, score in enumerate(scores):
        stopping = stopping.update(score, 10 * step)
    return stopping


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ((-3.0,), (-3.0, 0, 0)),  # Any first score is the best.
        ((0.1, 0.2), (0.2, 10, 0)),
        ((0.1, 0.3, 0.2, 0.3), (0.3, 10, 2)),  # An equal score is not better.
        ((0.1, 0.0, 0.2), (0.2, 20, 0)),
    ],
)
def test_only_a_higher_score_resets_the_wait(scores, expected):
    assert after(*scores) == expected


def test_it_stops_when_patience_is_used_up():
    waited_two = after(0.5, 0.4, 0.4)
    assert [waited_two.should_stop(p) for p in (1, 2, 3, None)] == [
        True,
        True,
        False,
        False,
    ]


def test_json_keeps_it():
    stopping = after(0.5, 0.4)
    assert Stopping(**json.loads(json.dumps(stopping._asdict()))) == stopping
