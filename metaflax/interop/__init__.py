"""Conversion of traced functions to formats of other runtimes."""

__all__ = []
