"""GPT-2 decoders."""

__all__ = ()
