"""Meta-testing: evaluation, reports and comparisons of runs."""

__all__ = ()
