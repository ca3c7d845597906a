"""Labelled texts that stay on disk, found by byte offsets."""
