"""The command line; `python -m metaflax --help` lists the commands."""

from metaflax.cli._main import main as main
from metaflax.cli._main import run as run
from metaflax.cli._parse import parse as parse

__all__ = ["main", "parse", "run"]
