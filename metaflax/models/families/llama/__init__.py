"""Llama decoders and their near relatives: Mistral, SmolLM2, Qwen2 and Qwen3."""

__all__ = ()
