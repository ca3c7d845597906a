"""What a run shows: progress, tables, plots."""

from metaflax.reporting._costs import cost_line as cost_line
from metaflax.reporting._costs import host_line as host_line
from metaflax.reporting._costs import memory as memory
from metaflax.reporting._costs import profile_tables as profile_tables
from metaflax.reporting._plots import plot_run as plot_run
from metaflax.reporting._progress import ProgressSink as ProgressSink
from metaflax.reporting._progress import counting as counting
from metaflax.reporting._search import plot_search as plot_search
from metaflax.reporting._search import search_table as search_table
from metaflax.reporting._search import short as short
from metaflax.reporting._tables import comparison_table as comparison_table
from metaflax.reporting._tables import report_table as report_table
from metaflax.reporting._tables import said as said

__all__ = [
    "ProgressSink",
    "comparison_table",
    "cost_line",
    "counting",
    "host_line",
    "memory",
    "plot_run",
    "plot_search",
    "profile_tables",
    "report_table",
    "said",
    "search_table",
    "short",
]
