"""Formats in which other runtimes read a traced function."""

__all__ = []
