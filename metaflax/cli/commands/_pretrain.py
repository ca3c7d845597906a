"""The command `pretrain`."""

import dataclasses
from pathlib import Path
from typing import ClassVar

import tyro
from rich.console import Console

from metaflax import config as config_lib
from metaflax import workflows
from metaflax.cli.commands._machines import Machines


@dataclasses.dataclass(frozen=True)
class Pretrain:
    """Pretrain an encoder as a masked language model of raw text, for `train`."""

    EXAMPLES: ClassVar = (
        "metaflax pretrain --text sentences.txt --steps 2000 --run-dir runs/pretrain",
        "metaflax train --data intents.jsonl --model runs/pretrain/model",
    )
    PAGE: ClassVar = "tutorials/own_text"

    FIRST: ClassVar = (
        *("text", "model", "fresh", "steps", "rows_per_step", "learning_rate"),
        "run_dir",
    )

    settings: tyro.conf.FlagConversionOff[config_lib.PretrainConfig] = (
        dataclasses.field(default_factory=config_lib.PretrainConfig)
    )
    run_dir: Path = Path("runs/pretrain")
    """Directory of the run, with the model in its folder `model`; the same command
    again resumes it."""
    machines: Machines = dataclasses.field(default_factory=Machines)

    def execute(self, console: Console) -> None:
        """Pretrains and writes the model."""
        workflows.pretrain(
            self.settings,
            self.run_dir,
            self.machines.initialize(console),
            param_shards=self.machines.num_param_shards,
        )
