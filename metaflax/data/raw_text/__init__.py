"""Self-supervised tasks and batches from unlabelled text."""

__all__ = ()
