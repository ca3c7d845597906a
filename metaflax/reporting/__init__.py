"""Progress, tables, plots and HTML pages of runs."""

from metaflax.reporting._costs import cost_line as cost_line
from metaflax.reporting._costs import host_line as host_line
from metaflax.reporting._costs import memory as memory
from metaflax.reporting._costs import profile_tables as profile_tables
from metaflax.reporting._figures import curve_figure as curve_figure
from metaflax.reporting._figures import has_plots as has_plots
from metaflax.reporting._figures import methods_figure as methods_figure
from metaflax.reporting._figures import reliability_figure as reliability_figure
from metaflax.reporting._html import Html as Html
from metaflax.reporting._html import folded as folded
from metaflax.reporting._html import html_table as html_table
from metaflax.reporting._html import matrix_table as matrix_table
from metaflax.reporting._html import page as page
from metaflax.reporting._html import pairs_table as pairs_table
from metaflax.reporting._html import paragraph as paragraph
from metaflax.reporting._html import picture as picture
from metaflax.reporting._html import section as section
from metaflax.reporting._plots import plot_run as plot_run
from metaflax.reporting._progress import ProgressSink as ProgressSink
from metaflax.reporting._progress import counting as counting
from metaflax.reporting._search import plot_search as plot_search
from metaflax.reporting._search import search_table as search_table
from metaflax.reporting._search import short as short
from metaflax.reporting._tables import PERCENT as PERCENT
from metaflax.reporting._tables import comparison_table as comparison_table
from metaflax.reporting._tables import estimate_text as estimate_text
from metaflax.reporting._tables import interval_text as interval_text
from metaflax.reporting._tables import report_table as report_table

__all__ = [
    "PERCENT",
    "Html",
    "ProgressSink",
    "comparison_table",
    "cost_line",
    "counting",
    "curve_figure",
    "estimate_text",
    "folded",
    "has_plots",
    "host_line",
    "html_table",
    "interval_text",
    "matrix_table",
    "memory",
    "methods_figure",
    "page",
    "pairs_table",
    "paragraph",
    "picture",
    "plot_run",
    "plot_search",
    "profile_tables",
    "reliability_figure",
    "report_table",
    "search_table",
    "section",
    "short",
]
