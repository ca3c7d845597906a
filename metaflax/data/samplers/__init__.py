"""Samplers of episodes, one for each target kind."""

__all__ = ()
