"""Validation of names of files and folders."""

import re

# Most file systems allow 255 bytes, including extensions.
MOST_BYTES = 200
_PLAIN = re.compile(r"\w([\w .,+=-]*[\w+=-])?")


def check_file_name(name: str) -> None:
    """Raises ValueError if a name is unsafe as the name of a file or folder.

    Each part of a path that comes from data or settings is checked here, so that it
    cannot lead outside its folder on any operating system.

    Args:
      name: name without extension.

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
