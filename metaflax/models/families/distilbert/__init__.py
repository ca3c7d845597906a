"""DistilBERT encoders."""

__all__ = ()
