"""Fuzzing: reading any file ends with its content or with a clear error message.

Each kind of file is read after damage of many kinds, a few hundred times by default and
thousands of times with `-m slow`.
"""
