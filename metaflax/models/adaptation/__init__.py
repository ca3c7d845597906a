"""Parameters added for adaptation: LoRA, adapters, prefixes, contexts."""

__all__ = ()
