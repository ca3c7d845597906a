"""Command-line options, folders and exit statuses of this folder's commands."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from metaflax import workflows

INTERRUPTED = 130  # Exit status after Ctrl-C, as a shell has it.


def run(
    name: str,
    doc: str | None,
    command: Callable[[argparse.Namespace, Console], None],
    *options: tuple[str, dict[str, Any]],
    folder: str = "--runs",
) -> int:
    """Runs a command; its expected errors are printed as one sentence.

    Args:
      name: name of the command, printed before such a sentence.
      doc: the script's `__doc__`, whose first line `--help` shows.
      command: `command(args, console)`; `args` has `data`, `model`, `folds` (None for
        all) and the values of `folder` (None for `default_folder`) and `options`.
      *options: further options, each a name and arguments of `add_argument`.
      folder: option that names the folder to write.

    Returns:
      The exit status: 0, 2 after a `ValueError`, 130 after an interruption.
    """
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, help="folder of examples and folds")
    parser.add_argument("--model", default="minilm", help="name or directory")
    parser.add_argument(folder, type=Path, help="default: runs/intents-MODEL")
    parser.add_argument("--folds", nargs="+", help="all by default")
    for option, settings in options:
        parser.add_argument(option, **settings)
    args = parser.parse_args()
    console = Console(highlight=False)
    workflows.prepare_process()
    try:
        command(args, console)
    except ValueError as error:
        console.print(f"{name}: {error}", markup=False, soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        console.print(f"{name}: interrupted; the same command goes on.")
        return INTERRUPTED
    return 0


def default_folder(model: str, kind: str = "") -> Path:
    """Returns the folder to write where none is named.

    Examples:
      >>> default_folder("models/mpnet").as_posix()
      'runs/intents-models-mpnet'
    """
    name = "-".join(Path(model).parts).strip("/-")
    return Path(f"runs/intents-{name}{kind}")
