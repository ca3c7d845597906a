"""ModernBERT encoders."""

__all__ = ()
