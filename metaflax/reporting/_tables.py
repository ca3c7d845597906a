"""Tables for the terminal."""

import math
from collections.abc import Mapping
from typing import Any

from rich.table import Table

from metaflax.evaluation import Interval
from metaflax.evaluation._bootstrap import Estimate

# Metrics that are shown in percent.
PERCENT = (
    *("accuracy", "micro_f1", "none_precision", "none_recall"),
    *("auroc", "false_positives"),
)


def interval_text(name: str, interval: Interval, *, sign: bool = False) -> str:
    """Formats a mean with its interval, `81.7 ± 1.6 %`, if the interval is finite.

    Examples:
      >>> interval_text("accuracy", Interval(0.817, 0.016))
      '81.7 ± 1.6 %'
      >>> interval_text("accuracy", Interval(0.817, float("inf")))
      '81.7 %'
    """
    plus = "+" if sign else ""
    if name in PERCENT:
        mean, width = 100 * interval.mean, 100 * interval.half_width
        width_text = f" ± {width:.1f}" if math.isfinite(width) else ""
        return f"{mean:{plus}.1f}{width_text} %"
    width = interval.half_width
    return f"{interval.mean:{plus}.4f}" + (
        f" ± {width:.4f}" if math.isfinite(width) else ""
    )


def estimate_text(estimate: Estimate) -> str:
    """Formats a share with its asymmetric interval, in percent.

    Examples:
      >>> estimate_text(Estimate(0.0312, 0.025, 0.041))
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
    """Makes a table with a row for each metric and a column for each method.

    Args:
      title: title of the table.
      columns: intervals by method and metric; a method named `difference` is shown
        with signs.
      metrics: names of the rows.
      signed: whether all columns are differences, shown with signs.

    Returns:
      A rich table.

    Examples:
      >>> import rich.console
      >>> from metaflax import evaluation, reporting
      >>> before = {"accuracy": evaluation.Interval(0.61, 0.02)}
      >>> after = {"accuracy": evaluation.Interval(0.74, 0.02)}
      >>> gain = {"accuracy": evaluation.Interval(0.13, 0.01)}
      >>> table = reporting.comparison_table(
      ...     "pets",
      ...     {"before": before, "after": after, "difference": gain},
      ...     ("accuracy",),
      ... )
      >>> [list(column.cells) for column in table.columns]
      [['accuracy'], ['61.0 ± 2.0 %'], ['74.0 ± 2.0 %'], ['+13.0 ± 1.0 %']]
    """
    table = Table(title=title)
    table.add_column("")
    for method in columns:
        table.add_column(method, justify="right")
    for metric in metrics:
        cells = [
            interval_text(metric, row[metric], sign=signed or method == "difference")
            for method, row in columns.items()
        ]
        table.add_row(metric, *cells)
    return table


def report_table(report: Mapping[str, Any]) -> Table:
    """Makes a table of the scores and number of queries of each class (or domain)."""
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
