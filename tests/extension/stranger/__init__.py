"""A user's package that adds one of each to metaflax, one thing a file.

Nothing here is registered and nothing of metaflax is changed: settings name these
objects by import path, such as `stranger.head:shrunken`.
"""
