"""MPNet encoders."""

__all__ = ()
