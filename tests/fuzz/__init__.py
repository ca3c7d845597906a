"""Whatever a file holds, reading it ends: in what it says, or in one clear sentence.

Each kind of file is read after damage of many kinds, a few hundred times by default and
thousands of times with `-m slow`.
"""
