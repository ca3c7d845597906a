"""Helpers for the console of a workflow."""

from collections.abc import Iterable

from rich.console import Console


def console_or_quiet(console: Console | None) -> Console:
    """Returns the console, or one that prints nothing in place of None."""
    return Console(quiet=True) if console is None else console


def report_notes(notes: Iterable[str], console: Console) -> None:
    """Prints sentences about data, each once and on a line of its own."""
    for note in dict.fromkeys(notes):
        console.print(f"note: {note}", markup=False, soft_wrap=True)
