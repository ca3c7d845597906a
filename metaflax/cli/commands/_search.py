"""The command `search`."""

import dataclasses
from pathlib import Path
from typing import ClassVar

from rich.console import Console

from metaflax import config as config_lib
from metaflax import workflows


@dataclasses.dataclass(frozen=True)
class Search:
    """Search for the settings that score best on validation classes."""

    EXAMPLES: ClassVar = (
        "metaflax search --config my_search.py --trials 20 --run-dir runs/search",
    )
    PAGE: ClassVar = "howto/search"

    config: Path
    """Python file that defines `config = metaflax.config.SearchConfig(...)`."""
    run_dir: Path = Path("runs/search")
    """Directory of the search, with the best settings in `best.py`; the same command
    again resumes it, and several processes may share it."""
    trials: int | None = None
    """Number of settings to try in all (default: the file's)."""

    def execute(self, console: Console) -> None:
        """Tries the settings, each by a meta-training without meta-test."""
        config = config_lib.load_file(self.config, config_lib.SearchConfig)
        if self.trials is not None:
            config = dataclasses.replace(config, trials=self.trials)
        workflows.search(config, self.run_dir, console)
