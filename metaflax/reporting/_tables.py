"""Tables for the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from metaflax.evaluation import Estimate, Interval

# Shares, which read best in percent.
PERCENT = (
    *("accuracy", "micro_f1", "none_precision", "none_recall"),
    *("auroc", "false_positives"),
)


def said(name: str, interval: Interval, *, sign: bool = False) -> str:
    """An interval as people write it: `81.7 ± 1.6 %`.

    Examples:
      >>> said("accuracy", Interval(0.817, 0.016))
      '81.7 ± 1.6 %'
    """
    plus = "+" if sign else ""
    if name in PERCENT:
        mean, width = 100 * interval.mean, 100 * interval.half_width
        return f"{mean:{plus}.1f} ± {width:.1f} %"
    return f"{interval.mean:{plus}.4f} ± {interval.half_width:.4f}"


def estimated(estimate: Estimate) -> str:
    """A share whose interval is not even, in percent.

    Examples:
      >>> estimated(Estimate(0.0312, 0.025, 0.041))
      '3.1 % [2.5, 4.1]'
    """
    value, low, high = (100 * number for number in estimate)
    return f"{value:.1f} % [{low:.1f}, {high:.1f}]"


def comparison_table(
    title: str,
    columns: Mapping[str, Mapping[str, Interval]],
    metrics: tuple[str, ...],
    *,
    signed: bool = False,
) -> Table:
    """A row for each metric, a column for each method.

    Args:
      title: above the table.
      columns: by method, intervals by metric; a method named `difference` gets signs.
      metrics: the rows.
      signed: whether all columns are differences, with signs.

    Returns:
      A rich table.
    """
    table = Table(title=title)
    table.add_column("")
    for method in columns:
        table.add_column(method, justify="right")
    for metric in metrics:
        cells = [
            said(metric, intervals[metric], sign=signed or method == "difference")
            for method, intervals in columns.items()
        ]
        table.add_row(metric, *cells)
    return table


def report_table(report: Mapping[str, Any]) -> Table:
    """A report: for each class (or domain) its scores, and how many queries it had."""
    rows = {name: row for name, row in report.items() if isinstance(row, Mapping)}
    columns = list(next(iter(rows.values()), {}))
    table = Table(title="report")
    for column in ("", *columns):
        table.add_column(column, justify="right" if column else "left")
    for name, row in rows.items():
        cells = [
            str(int(row[c])) if c == "support" else f"{row[c]:.3f}" for c in columns
        ]
        table.add_row(name, *cells)
    return table
