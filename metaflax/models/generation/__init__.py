"""Text generation: sampling and beam search over a key-value cache."""

__all__ = ()
