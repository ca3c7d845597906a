"""Ending the program by Ctrl-C while its modules are imported.

Imported first of all modules of the package. It has an effect in the process of the
command line alone, which until it handles SIGINT itself would end with a traceback
through the imports, or, where an extension of compiled code is loading, with another
error altogether.
"""

import itertools
import os
import signal
import sys

__all__ = ()


def _is_command_line() -> bool:
    """Returns whether this process is `metaflax` or `python -m metaflax`."""
    if sys.argv[:1] == ["-m"]:  # So it is while the module's package is imported.
        return any(
            argument == "-mmetaflax" or [option, argument] == ["-m", "metaflax"]
            for option, argument in itertools.pairwise(["", *sys.orig_argv])
        )
    return os.path.basename(sys.argv[0] if sys.argv else "") == "metaflax"


if _is_command_line() and signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
