"""Progress, tables, plots and HTML pages of runs."""

from metaflax.reporting._tables import comparison_table as comparison_table

__all__ = [
    "comparison_table",
]
