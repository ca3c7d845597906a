"""The console that a workflow prints on."""

from rich.console import Console


def console_or_quiet(console: Console | None) -> Console:
    """Returns the console, or one that prints nothing in place of None."""
    return Console(quiet=True) if console is None else console
