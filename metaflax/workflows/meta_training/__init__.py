"""Meta-training, pretraining and search of settings."""

__all__ = ()
