"""Progress, tables, plots and HTML pages of runs."""

from metaflax.reporting._plots import plot_run as plot_run
from metaflax.reporting._progress import ProgressSink as ProgressSink
from metaflax.reporting._tables import comparison_table as comparison_table
from metaflax.reporting._tables import estimate_text as estimate_text
from metaflax.reporting._tables import interval_text as interval_text
from metaflax.reporting._tables import report_table as report_table

__all__ = [
    "ProgressSink",
    "comparison_table",
    "estimate_text",
    "interval_text",
    "plot_run",
    "report_table",
]
