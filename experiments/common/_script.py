"""Command lines of experiments, and configs with other data or models."""

import argparse
import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from metaflax import config as config_lib
from metaflax import workflows
from metaflax.cli._interrupts import end_on_interrupt


def run_command(
    script: str | Path, name: str, command: Callable[[Console], None]
) -> int:
    """Runs a command; an expected error is one sentence on standard error.

    Args:
      script: the script's `__file__`.
      name: name of the command, printed before such a sentence.
      command: `command(console)`.

    Returns:
      The exit status: 0, 2 after a `ValueError`, 130 after an interruption, 143 after
      SIGTERM.
    """
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    workflows.prepare_process()
    end_program_on_interrupt(script)
    try:
        command(Console(highlight=False))
    except ValueError as error:
        errors.print(f"{name}: {error}", markup=False)
        return 2
    except KeyboardInterrupt as error:
        message = str(error) or "interrupted; the same command resumes."
        errors.print(f"{name}: {message}", markup=False)
        return getattr(error, "status", 130)
    return 0


def run_script(
    script: str | Path,
    doc: str | None,
    experiment: Callable[..., None],
    args: Sequence[str] | None = None,
    *,
    options: Callable[[argparse.ArgumentParser], None] | None = None,
) -> int:
    """Runs an experiment with the `config.py` beside its script.

    The option `--runs DIR` names the folder of runs (default: `runs/NAME` for a script
    in the folder NAME).

    Args:
      script: the script's `__file__`.
      doc: the script's `__doc__`, shown by `--help`.
      experiment: `experiment(config, runs, console)`, and the values of `options` by
        their names.
      args: command-line arguments; None for `sys.argv`.
      options: `options(parser)` adds further options; None for none.

    Returns:
      The exit status, as of `run_command`.

    Examples:
      The last lines of a script::

        if __name__ == "__main__":
            sys.exit(common.run_script(__file__, __doc__, experiment))
    """
    folder = Path(script).resolve().parent
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--runs",
        type=Path,
        default=Path("runs", folder.name),
        help="folder of runs; finished runs are not trained again",
    )
    if options is not None:
        options(parser)
    values = vars(parser.parse_args(args))
    runs = values.pop("runs")

    def command(console: Console) -> None:
        experiment(config_lib.load_file(folder / "config.py"), runs, console, **values)

    return run_command(script, folder.name, command)


def end_program_on_interrupt(script: str | Path) -> None:
    """Ends the process on Ctrl-C as commands do, if a script is its program.

    Elsewhere Python's exception may be lost in a callback of compiled code.

    Args:
      script: the script's `__file__`; nothing changes where it is imported.
    """
    if getattr(sys.modules["__main__"], "__file__", None) == str(script):
        end_on_interrupt()


def on_data(
    config: config_lib.Config, path: str | Path, **fields: Any
) -> config_lib.Config:
    """Returns the config with another data path, and other data settings."""
    data = dataclasses.replace(config.data, path=str(path), **fields)
    return dataclasses.replace(config, data=data)


def encoder_options(parser: argparse.ArgumentParser) -> None:
    """Adds options of the initial encoder, the arguments of `on_model`."""
    parser.add_argument("--model", help="name or directory (default: minilm)")
    parser.add_argument(
        "--dtype",
        choices=("float32", "bfloat16"),
        help="type of the factors of matrix products (default: float32)",
    )


def on_model(
    config: config_lib.Config, model: str | Path | None, dtype: Any = None
) -> config_lib.Config:
    """Returns the config with another initial model, or type of products."""
    given = {"name": model and str(model), "dtype": dtype}
    changes = {name: value for name, value in given.items() if value is not None}
    changed = dataclasses.replace(config.model, **changes)
    return dataclasses.replace(config, model=changed)
