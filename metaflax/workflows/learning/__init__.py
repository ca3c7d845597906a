"""A task learned from a few examples: head choice, adaptation, decoding."""

__all__ = ()
