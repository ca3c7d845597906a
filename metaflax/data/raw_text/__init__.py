"""Tasks and batches made of text without labels."""
