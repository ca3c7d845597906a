"""Parsing of the command line."""

import difflib
import inspect
import itertools
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import NoReturn, Protocol

import tyro
from rich.console import Console

from metaflax import _wording
from metaflax import config as config_lib
from metaflax.cli._options import command_of, options_of, view
from metaflax.cli._renamed import with_new_names
from metaflax.cli.commands._table import COMMANDS, GROUPS

DESCRIPTION = (
    "Meta-learning for language models: learn new text tasks from a few examples."
)
EXAMPLES = """\
metaflax quickstart
metaflax train --data intents.jsonl --way 5 --shot 5 --run-dir runs/intents
metaflax evaluate runs/intents --shot 1 --baselines frozen
metaflax adapt --run runs/intents --support my_task.csv --out my_model
metaflax predict --model my_model --texts new.txt"""


class Command(Protocol):
    """A command with its options."""

    def execute(self, console: Console) -> None:
        """Runs the command, which prints on the console."""
        ...


def parse(
    args: Sequence[str], warn: Callable[[str], None] = lambda sentence: None
) -> Command:
    """Parses a command.

    Args:
      args: arguments of the command line.
      warn: called with a sentence for each former name of an option.

    Returns:
      The command, with the settings of its config file if there is one.

    Raises:
      SystemExit: with 0 after printing help, with 2 for unknown commands or options.
      ValueError: for a config file that cannot be used.

    Examples:
      >>> from metaflax import cli
      >>> command = cli.parse(["evaluate", "runs/a", "--shot", "1", "--test-seed", "3"])
      >>> command.run.name, command.shot, command.test_seed, command.way
      ('a', 1, 3, None)
      >>> warnings = []
      >>> _ = cli.parse(["evaluate", "runs/a", "--shots", "1", "5"], warnings.append)
      >>> warnings
      ['--shots is now --curve-shots; the next release drops the former name.']
    """
    args = with_new_names(args, warn)
    if not args or args[0] in ("-h", "--help"):
        print(overview(shutil.get_terminal_size().columns))
        raise SystemExit(0 if args else 2)
    name, *options = args
    if name not in COMMANDS:
        _refuse(name)
    if name == "train" and _value_of(options, "--recipe"):
        name = "mix"  # A recipe composes a mixture.
    command, defaults = COMMANDS[name], None
    if name == "train" and (path := _value_of(options, "--config")):
        defaults = command(settings=config_lib.load_file(path))
    first, *more = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    try:
        # Only this command's view is made; all views take a quarter of a second.
        parsed = tyro.cli(
            view(command, options_of(command, defaults)),
            args=options,
            prog=f"metaflax {name}",
            description=first,
            config=(tyro.conf.OmitArgPrefixes, tyro.conf.SuppressFixed),
        )
    except SystemExit as end:
        if end.code == 0:  # Help was printed.
            print(_after_options(command, more, shutil.get_terminal_size().columns))
        raise
    return command_of(command, parsed)


def _refuse(name: str) -> NoReturn:
    """Exits with the list of known commands, the most similar one first."""
    similar = difflib.get_close_matches(name, COMMANDS, n=1)
    hint = f" Did you mean {similar[0]}?" if similar else ""
    print(
        f"metaflax: {name!r} is no command.{hint} The commands are"
        f" {', '.join(COMMANDS)}; metaflax --help describes them.",
        file=sys.stderr,
    )
    raise SystemExit(2)


def overview(width: int) -> str:
    """Formats the list of commands, for `metaflax --help`."""
    lines = ["usage: metaflax COMMAND [OPTIONS]", ""]
    lines += textwrap.wrap(DESCRIPTION, width)
    for title, commands in GROUPS.items():
        lines += ["", f"{title}:"]
        for command in commands:
            name = command.__name__.lower()
            lines += textwrap.wrap(
                (command.__doc__ or "").splitlines()[0],
                width,
                initial_indent=f"  {name:12}",
                subsequent_indent=" " * 14,
                break_on_hyphens=False,
            )
    lines += ["", "Examples:", textwrap.indent(EXAMPLES, "  "), ""]
    lines += textwrap.wrap(
        "metaflax COMMAND --help explains its options; metaflax completion makes Tab"
        " complete them.",
        width,
    )
    return "\n".join(lines)


def _after_options(command: type, paragraphs: Sequence[str], width: int) -> str:
    """Formats the end of a command's help: explanation, examples and link."""
    blocks = [textwrap.fill(" ".join(text.split()), width) for text in paragraphs]
    blocks.append("\n  ".join(["Examples:", *getattr(command, "EXAMPLES", ())]))
    if page := getattr(command, "PAGE", None):
        blocks.append(f"See also {_wording.page(page)}.")
    return "\n\n".join(blocks)


def _value_of(args: list[str], name: str) -> str | None:
    for arg, following in itertools.pairwise([*args, None]):
        if arg == name:
            return following
        if arg and arg.startswith(f"{name}="):
            return arg.removeprefix(f"{name}=")
    return None
