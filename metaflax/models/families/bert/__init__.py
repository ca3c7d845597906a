"""BERT encoders."""

__all__ = ()
