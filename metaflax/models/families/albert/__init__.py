"""ALBERT encoders."""

__all__ = ()
