"""The entry point of the command line."""

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from rich.console import Console

from metaflax.cli._interrupts import ENDING, end_on_interrupt
from metaflax.cli._parse import Command, parse


def script() -> NoReturn:
    """Runs the command in the process's arguments, and ends the process."""
    end_on_interrupt()
    sys.exit(main())


def main(args: Sequence[str] | None = None) -> int:
    """Runs a command.

    Modules in the working directory can be imported, so that options may name them.

    Args:
      args: arguments of the command line; None for those of the process.

    Returns:
      The exit status: 0 for success; 2 for an error, described in one sentence on
      standard error; 130 after an interrupt and 143 after SIGTERM, with the last step
      of a run saved; 141 if standard output was closed, as by `| head`.

    Examples:
      >>> from metaflax import cli
      >>> cli.main(["evaluate", "absent"])
      2
    """
    args = list(sys.argv[1:] if args is None else args)
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        try:
            return _main(args)
        finally:
            sys.stdout.flush()  # A closed pipe can still be handled here.
    except BrokenPipeError:
        # Keeps Python from printing an error at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _main(args: list[str]) -> int:
    errors = Console(stderr=True, highlight=False, soft_wrap=True)

    def complain(sentence: str) -> None:
        errors.print(f"metaflax: {sentence}", markup=False)

    try:
        run(parse(args, complain), Console(highlight=False))
    except ValueError as error:
        complain(str(error))
        return 2
    except BrokenPipeError:
        raise
    except OSError as error:
        file = f"{error.filename}: " if error.filename else ""
        complain(f"{file}{error.strerror or error}.")
        return 2
    except KeyboardInterrupt as error:
        complain(str(error) or ENDING)
        return getattr(error, "status", 130)
    return 0


def run(command: Command, console: Console) -> None:
    """Runs a command with quiet logs and cached compilations.

    Args:
      command: a command with its options, as `parse` returns it.
      console: console to print on.

    Examples:
      >>> import io
      >>> import rich.console
      >>> from metaflax import cli
      >>> console = rich.console.Console(file=io.StringIO(), width=120)
      >>> cli.run(cli.parse(["models"]), console)
      >>> "roberta" in console.file.getvalue()
      True
    """
    from metaflax import workflows

    workflows.prepare_process()
    command.execute(console)
