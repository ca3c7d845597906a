"""The command `train`."""

import dataclasses
from pathlib import Path
from typing import ClassVar

import tyro
from rich.console import Console

from metaflax import config as config_lib
from metaflax import workflows
from metaflax.cli.commands._machines import Flag, Machines


@dataclasses.dataclass(frozen=True)
class Train:
    """Meta-train on your labelled text, then meta-test before and after.

    An episode is a small task of a few classes: a support set to learn them from, and
    queries to score. The outer loop trains on many episodes; the inner loop, where an
    algorithm has one, adapts to the support set of one.

    With `--recipe general --data FOLDER` it trains an encoder to start from on tasks of
    many kinds; the options are then those of `metaflax mix`.
    """

    EXAMPLES: ClassVar = (
        "metaflax train --data intents.jsonl --way 5 --shot 5 --run-dir runs/intents",
        "metaflax train --data mail.csv --text body --label topic --algorithm fomaml",
        "metaflax train --recipe general --data my_folder --run-dir runs/general",
    )
    PAGE: ClassVar = "tutorials/own_text"

    FIRST: ClassVar = (
        *("data", "task", "model", "algorithm", "way", "shot", "queries", "steps"),
        *("run_dir", "config"),
    )

    settings: tyro.conf.FlagConversionOff[config_lib.Config] = dataclasses.field(
        default_factory=config_lib.Config
    )
    run_dir: Path = Path("runs/run")
    """Directory of the run; the same command again resumes it."""
    config: Path | None = None
    """Python file that defines `config`, such as those under experiments/, or the
    config.json of a run; other options override it."""
    profile: Flag = False
    """Print first where the time of one training step goes."""
    machines: Machines = dataclasses.field(default_factory=Machines)

    def execute(self, console: Console) -> None:
        """Meta-trains and meta-tests."""
        workflows.train(
            self.settings,
            self.run_dir,
            self.machines.initialize(console),
            profile=self.profile,
            param_shards=self.machines.num_param_shards,
        )
