"""Parameters added for adaptation: LoRA, adapters, prefixes, contexts."""
