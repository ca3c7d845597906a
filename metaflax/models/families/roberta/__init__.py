"""RoBERTa, XLM-RoBERTa and CamemBERT encoders."""

__all__ = ()
