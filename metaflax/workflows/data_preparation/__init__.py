"""Preparation of data and new models for meta-training."""

__all__ = ()
