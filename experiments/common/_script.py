"""An experiment's script as a command."""

import argparse
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from metaflax import config as config_lib
from metaflax.workflows.runs._compilation_cache import cache_compilations
from metaflax.workflows.runs._logs import quiet_logs


def run_script(
    script: str | Path,
    doc: str | None,
    experiment: Callable[[config_lib.Config, Path, Console], None],
    args: Sequence[str] | None = None,
) -> int:
    """Runs an experiment on the `config.py` beside its script.

    The command takes `--runs DIR`, where runs are kept; `runs/NAME` unless given, for
    a script in a folder NAME. What is wrong with config or data is said in a sentence.

    Args:
      script: the script's `__file__`.
      doc: its `__doc__`, shown by `--help`.
      experiment: `experiment(config, runs, console)`.
      args: of the command line; None for the process's own.

    Returns:
      The exit status: 0, 2 where a `ValueError` was said, 130 after an interruption,
      143 after SIGTERM.

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
        help="where runs are kept; a finished one is not trained again",
    )
    runs = parser.parse_args(args).runs
    console = Console(highlight=False)
    cache_compilations()
    quiet_logs()
    try:
        experiment(config_lib.load_file(folder / "config.py"), runs, console)
    except ValueError as error:
        console.print(f"{folder.name}: {error}", markup=False)
        return 2
    except KeyboardInterrupt as error:
        said = str(error) or "interrupted; the same command goes on."
        console.print(f"{folder.name}: {said}", markup=False)
        return getattr(error, "status", 130)
    return 0


def on_data(
    config: config_lib.Config, path: str | Path, **fields: Any
) -> config_lib.Config:
    """The config with data read from another path, and other data settings."""
    data = dataclasses.replace(config.data, data=str(path), **fields)
    return dataclasses.replace(config, data=data)


def on_model(config: config_lib.Config, path: str | Path) -> config_lib.Config:
    """The config starting from another model."""
    model = dataclasses.replace(config.model, model=str(path))
    return dataclasses.replace(config, model=model)
