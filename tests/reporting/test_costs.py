"""Tests for the cost of a step as text and tables."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from metaflax.profiling._cost import Cost
from metaflax.profiling._profile import HostTimes, Profile, Row
from metaflax.reporting._costs import cost_line, host_line, profile_tables

ROWS = (
    Row("mlp", "matrix product", False, 4.0, 8.0, 8e9),
    Row("mlp", "matrix product", True, 2.0, 4.0, 4e9),
    Row("norm", "elementwise and sums", False, 1.0, 3.0, 0.0),
)
PROFILE = Profile(
    step_ms=7.5,
    profiled_ms=8.0,
    idle_ms=1.0,
    rows=ROWS,
    host=HostTimes(7.0, 1.5),
    steps=3,
    trace=Path("trace"),
)


def rows_of(table):
    console = Console(file=io.StringIO(), width=120)
    console.print(table)
    lines = [x for x in console.file.getvalue().splitlines() if "│" in x]
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]


@pytest.mark.parametrize(
    ("cost", "available", "message"),
    [
        (
            (2.5e9, 0, 2**20, 0, 0, 3 * 2**20),
            2**31,
            "2.5 GFLOP, 4.0 MiB of memory (1.0 state, 3.0 temporaries); the device has"
            " 2.0 GiB",
        ),
        ((12, 0, 9, 0, 0, 0), None, "0.0 MFLOP, 0.0 KiB of memory (0.0 state, 0.0"),
    ],
)
def test_a_cost_is_a_line(cost, available, message):
    line = cost_line(Cost(*cost), available)
    assert line.startswith(message)


def test_both_tables_add_up_to_the_step():
    by_part, by_kind = map(rows_of, profile_tables(PROFILE))
    assert by_part == [
        ["mlp", "4.00", "2.00", "6.00", "75.0 %", "2000.0"],
        ["norm", "1.00", "", "1.00", "12.5 %", ""],
        ["nothing ran", "", "", "1.00", "12.5 %", ""],
        ["in all", "5.00", "2.00", "8.00", "100.0 %", "2000.0"],
    ]
    assert by_kind == [
        ["matrix product", "6.00", "75.0 %", "2000.0"],
        ["elementwise and sums", "1.00", "12.5 %", ""],
        ["nothing ran", "1.00", "12.5 %", ""],
        ["in all", "8.00", "100.0 %", "2000.0"],
    ]


def test_a_host_that_is_slower_than_the_device_is_told():
    assert "waits 1.0 ms for it" in host_line(PROFILE)
    slower = PROFILE._replace(step_ms=9.0)
    assert "hidden by the step" in host_line(slower)
