"""ELECTRA encoders."""

__all__ = ()
