"""Tests for tables on the terminal."""

import io

import pytest
from rich.console import Console

from metaflax import reporting
from metaflax.evaluation import Interval
from metaflax.reporting._tables import interval_text, report_table


def rendered(table):
    console = Console(file=io.StringIO(), width=100, force_terminal=False)
    console.print(table)
    return console.file.getvalue()


def cells(line):
    return [
        cell.strip() for cell in line.strip().strip("│┃").replace("┃", "│").split("│")
    ]


@pytest.mark.parametrize(
    ("name", "interval", "sign", "expected"),
    [
        ("accuracy", Interval(0.817, 0.016), False, "81.7 ± 1.6 %"),
        ("micro_f1", Interval(0.5, 0.25), True, "+50.0 ± 25.0 %"),
        ("accuracy", Interval(-0.03, 0.01), True, "-3.0 ± 1.0 %"),
        ("loss", Interval(0.51236, 0.01), False, "0.5124 ± 0.0100"),
        ("loss", Interval(0.2, 0.1), True, "+0.2000 ± 0.1000"),
        ("accuracy", Interval(0.5, float("inf")), False, "50.0 %"),
    ],
)
def test_shares_are_in_percent_and_differences_have_signs(
    name, interval, sign, expected
):
    assert interval_text(name, interval, sign=sign) == expected


def test_a_comparison_has_a_row_a_metric_and_signs_for_differences_only():
    table = reporting.comparison_table(
        "Test episodes",
        {
            "before": {"accuracy": Interval(0.5, 0.02), "loss": Interval(1.0, 0.1)},
            "difference": {
                "accuracy": Interval(0.1, 0.01),
                "loss": Interval(-0.2, 0.1),
            },
        },
        ("accuracy", "loss"),
    )
    title, *lines = rendered(table).splitlines()
    assert title.strip() == "Test episodes"
    rows = [cells(line) for line in lines if "│" in line or "┃" in line]
    assert rows == [
        ["", "before", "difference"],
        ["accuracy", "50.0 ± 2.0 %", "+10.0 ± 1.0 %"],
        ["loss", "1.0000 ± 0.1000", "-0.2000 ± 0.1000"],
    ]


def test_a_report_has_a_row_a_class_and_leaves_out_single_numbers():
    row = {"precision": 1.0, "recall": 0.5, "f1-score": 2 / 3, "support": 4.0}
    table = report_table({"sports": row, "accuracy": 0.5, "macro avg": row})
    rows = [cells(line) for line in rendered(table).splitlines() if "│" in line]
    assert rows == [
        ["sports", "1.000", "0.500", "0.667", "4"],
        ["macro avg", "1.000", "0.500", "0.667", "4"],
    ]


def test_a_report_of_numbers_has_their_columns():
    row = {"pearson": 0.5, "mse": 2.0, "support": 7}
    table = rendered(report_table({"images": row}))
    lines = [cells(line) for line in table.splitlines() if "│" in line or "┃" in line]
    assert lines == [
        ["", "pearson", "mse", "support"],
        ["images", "0.500", "2.000", "7"],
    ]


def test_all_columns_of_differences_have_signs():
    columns = {"frozen": {"accuracy": Interval(0.1, 0.01)}}
    table = reporting.comparison_table("", columns, ("accuracy",), signed=True)
    assert "+10.0 ± 1.0 %" in rendered(table)
