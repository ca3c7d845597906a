"""What a run shows: progress, tables, plots."""

from metaflax.reporting._plots import plot_run as plot_run
from metaflax.reporting._progress import ProgressSink as ProgressSink
from metaflax.reporting._tables import comparison_table as comparison_table
from metaflax.reporting._tables import report_table as report_table
from metaflax.reporting._tables import said as said

__all__ = ["ProgressSink", "comparison_table", "plot_run", "report_table", "said"]
