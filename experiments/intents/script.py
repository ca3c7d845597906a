"""Command-line options and folders of this folder's commands."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments import common


def run(
    script: str,
    name: str,
    doc: str | None,
    command: Callable[[argparse.Namespace, Console], None],
    *options: tuple[str, dict[str, Any]],
    folder: str = "--runs",
) -> int:
    """Runs a command; its expected errors are printed as one sentence.

    Args:
      script: the script's `__file__`.
      name: name of the command, printed before such a sentence.
      doc: the script's `__doc__`, whose first line `--help` shows.
      command: `command(args, console)`; `args` has `data`, `model`, `folds` (None for
        all) and the values of `folder` (None for `default_folder`) and `options`.
      *options: further options, each a name and arguments of `add_argument`.
      folder: option that names the folder to write.

    Returns:
      The exit status, as of `common.run_command`.
    """
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, help="folder of examples and folds")
    parser.add_argument("--model", default="minilm", help="name or directory")
    parser.add_argument(folder, type=Path, help="default: runs/intents-MODEL")
    parser.add_argument("--folds", nargs="+", help="all by default")
    for option, settings in options:
        parser.add_argument(option, **settings)
    args = parser.parse_args()
    return common.run_command(script, name, lambda console: command(args, console))


def default_folder(model: str, kind: str = "") -> Path:
    """Returns the folder to write where none is named.

    Examples:
      >>> default_folder("models/mpnet").as_posix()
      'runs/intents-models-mpnet'
    """
    name = "-".join(Path(model).parts).strip("/-")
    return Path(f"runs/intents-{name}{kind}")
