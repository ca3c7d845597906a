"""The commands: one file each, with its options and what it runs.

A command is a frozen dataclass whose fields are its options, documented below each
field, and whose method `execute(console)` runs it. Where it has a class variable
`FIRST`, the options named there come first in its help, and the rest in groups. Its
`EXAMPLES` end the help, with the page `PAGE` of the documentation where there is one.
"""

__all__ = ()
