"""T5 encoder-decoders."""

__all__ = ()
