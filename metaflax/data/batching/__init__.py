"""Tokenisation of texts and collation of episodes into padded arrays."""

__all__ = ()
