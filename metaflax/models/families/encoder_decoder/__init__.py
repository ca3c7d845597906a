"""Encoder-decoders of two BERTs."""

__all__ = ()
