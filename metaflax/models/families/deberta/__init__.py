"""DeBERTa encoders, versions 2 and 3."""

__all__ = ()
