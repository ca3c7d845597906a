"""Self-supervised tasks and batches from unlabelled text."""
