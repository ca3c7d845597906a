"""Watching a stream of texts: labels, control charts and alarms."""

__all__ = ()
