"""The command `completion`."""

import contextlib
import dataclasses
import io
import sys
from typing import Any, ClassVar, Literal

import tyro
from rich.console import Console

from metaflax.algorithms._table import ALGORITHMS
from metaflax.cli._options import Option, options_of, view
from metaflax.config._factories import TASKS
from metaflax.heads._table import HEADS
from metaflax.models.families._registry import FAMILIES

# Known names of options that also take import paths, which parsing does not restrict.
NAMES = {"algorithm": ALGORITHMS, "family": FAMILIES, "head": HEADS, "task": TASKS}
# Appended to tyro's script: completes file names if nothing else matches.
FILES = {
    "bash": """
_metaflax() { _tyro_metaflax; [[ -n ${COMPREPLY[*]} ]] || COMPREPLY=(); }
complete -o default -o filenames -F _metaflax metaflax
""",
    "zsh": " || _files\n",
}


@dataclasses.dataclass(frozen=True)
class Completion:
    """Print a script with which a shell completes commands, options and names."""

    EXAMPLES: ClassVar = ("metaflax completion zsh > ~/.zfunc/_metaflax",)
    PAGE: ClassVar = "howto/install"

    shell: tyro.conf.Positional[Literal["bash", "zsh"]]
    """Shell to print the script for, which may be sourced or saved."""

    def execute(self, console: Console) -> None:
        """Prints the script."""
        from metaflax.cli.commands._table import COMMANDS

        views: dict[str, Any] = {
            name: view(command, options=[_with_names(o) for o in options_of(command)])
            for name, command in COMMANDS.items()
        }
        with (
            contextlib.redirect_stdout(io.StringIO()) as script,
            contextlib.suppress(SystemExit),
        ):
            tyro.extras.subcommand_cli_from_dict(
                views,
                prog="metaflax",
                args=["--tyro-print-completion", self.shell],
                config=(tyro.conf.OmitArgPrefixes,),
            )
        sys.stdout.write(script.getvalue().rstrip() + FILES[self.shell])


def _with_names(option: Option) -> Option:
    """Restricts an option to its known names, which completion offers."""
    names, default = NAMES.get(option.name, {}), option.default
    if default is None or default in names:
        kind: Any = Literal[*names] if names else option.kind
        return option._replace(kind=kind if default else kind | None)
    return option
