"""Tables for the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from metaflax.evaluation import Interval

# Shares, which read best in percent.
PERCENT = ("accuracy", "micro_f1")


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


def comparison_table(
    title: str, columns: Mapping[str, Mapping[str, Interval]], metrics: tuple[str, ...]
) -> Table:
    """A row for each metric, a column for each method.

    Args:
      title: above the table.
      columns: by method, intervals by metric; a method named `difference` gets signs.
      metrics: the rows.

    Returns:
      A rich table.
    """
    table = Table(title=title)
    table.add_column("")
    for method in columns:
        table.add_column(method, justify="right")
    for metric in metrics:
        cells = [
            said(metric, intervals[metric], sign=method == "difference")
            for method, intervals in columns.items()
        ]
        table.add_row(metric, *cells)
    return table


def report_table(report: Mapping[str, Any]) -> Table:
    """The classification report: precision, recall, F1 and support per class."""
    table = Table(title="classification report")
    for name in ("class", "precision", "recall", "F1", "support"):
        table.add_column(name, justify="left" if name == "class" else "right")
    for name, row in report.items():
        if isinstance(row, Mapping):
            numbers = (row["precision"], row["recall"], row["f1-score"])
            cells = [f"{x:.3f}" for x in numbers]
            table.add_row(name, *cells, str(int(row["support"])))
    return table
