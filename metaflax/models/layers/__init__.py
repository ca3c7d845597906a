"""Layers that model families share."""

__all__ = ()
