"""A user's package that extends metaflax, with one kind of extension per file.

Nothing here is registered and nothing of metaflax is changed: settings name these
objects by import path, such as `stranger.head:shrunken`.
"""
