"""The commands, one per file.

A command is a frozen dataclass whose fields are its options, documented below each
field, and whose method `execute(console)` runs it. With a class variable `FIRST`, the
options named there come first in the help, and the rest in groups. The help ends with
`EXAMPLES` and, if there is one, the page `PAGE` of the documentation.
"""

__all__ = ()
