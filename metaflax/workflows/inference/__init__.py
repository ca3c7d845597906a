"""Adaptation, prediction, explanation and export."""

__all__ = ()
