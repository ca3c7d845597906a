"""The command `mix`."""

import dataclasses
from pathlib import Path
from typing import ClassVar

from rich.console import Console

from metaflax import config as config_lib
from metaflax import workflows
from metaflax.cli.commands._machines import Machines


@dataclasses.dataclass(frozen=True)
class Mix:
    """Meta-train one encoder on several task types and masked language modelling."""

    EXAMPLES: ClassVar = (
        "metaflax mix --config experiments/smlmt/mixture.py --run-dir runs/mixture",
    )
    PAGE: ClassVar = "howto/mixtures"

    config: Path
    """Python file that defines `config = metaflax.config.MixtureConfig(...)`, such as
    experiments/smlmt/mixture.py."""
    run_dir: Path = Path("runs/mixture")
    """Directory of the run, with the encoder in its folder `model` and a run directory
    per member in `members/NAME`; the same command again resumes it."""
    machines: Machines = dataclasses.field(default_factory=Machines)

    def execute(self, console: Console) -> None:
        """Meta-trains on the mixture and meta-tests each member."""
        config = config_lib.load_file(self.config, config_lib.MixtureConfig)
        workflows.mix(
            config,
            self.run_dir,
            self.machines.initialize(console),
            param_shards=self.machines.num_param_shards,
        )
