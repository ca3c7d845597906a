"""Names that become those of files and folders."""

import re

# Most file systems have room for 255 bytes; endings come on top.
MOST_BYTES = 200
_PLAIN = re.compile(r"\w([\w .,+=-]*[\w+=-])?")


def check_file_name(name: str) -> None:
    """Refuses what would not name one file inside the folder it is meant for.

    Whatever comes out of data or settings and becomes part of a path goes through here,
    so that it leads nowhere else, on no system.

    Args:
      name: without its ending.

    Raises:
      ValueError: if it holds anything but letters, digits, spaces and `_ . , + = -`,
        does not begin with one of the first two or `_`, or is too long.

    Examples:
      >>> check_file_name("5-shot, seed 1")
      >>> check_file_name("../evil")
      Traceback (most recent call last):
      ValueError: '../evil' cannot name a file; take letters, digits, _ and -.
    """
    if not _PLAIN.fullmatch(name):
        raise ValueError(
            f"{name!r:.60} cannot name a file; take letters, digits, _ and -."
        )
    if (size := len(name.encode())) > MOST_BYTES:
        raise ValueError(
            f"{name!r:.60} cannot name a file, with {size} bytes; take {MOST_BYTES} at"
            " most."
        )
