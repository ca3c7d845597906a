"""Indices of texts on disk, and samplers that draw episodes from them."""

__all__ = ()
