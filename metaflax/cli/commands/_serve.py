"""The command `serve`."""

import dataclasses
from pathlib import Path
from typing import ClassVar

from rich.console import Console

from metaflax import serving
from metaflax.few_shot._settings import LearnerSettings


@dataclasses.dataclass(frozen=True)
class Serve:
    """Serve a model over HTTP: tasks are taught with a few examples, then predicted."""

    EXAMPLES: ClassVar = ("metaflax serve --model runs/intents --port 8000",)
    PAGE: ClassVar = "tutorials/service"

    model: str = "minilm"
    """Meta-trained run directory, or directory or hub name of a pretrained encoder."""
    store: Path = Path("tasks")
    """Folder of the tasks: an SQLite database and files of weights."""
    tokens: Path | None = None
    """JSON file of bearer tokens by tenant, {"name": "token"} (default: none, one
    tenant on this machine)."""
    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = 8000
    """Port to listen on."""
    database: str | None = None
    """SQLAlchemy URL of another database, which several servers may share together
    with --store or --weights (default: SQLite)."""
    weights: str | None = None
    """URL of another place of the files of weights, s3://bucket/folder for instance, of
    any store whose fsspec package is installed (default: in --store)."""
    algorithm: str | None = None
    """Algorithm that learns a task (default: the run's, or frozen)."""
    head: str | None = None
    """Output layer that learns a task, or auto, which chooses one for each task by
    cross-validation on its examples (default: the run's; auto below frozen pretrained
    weights)."""
    batch_size: int = 32
    """Largest number of texts in a forward pass of the encoder."""
    limits: serving.Limits = dataclasses.field(default_factory=serving.Limits)

    def execute(self, console: Console) -> None:
        """Serves until the process is terminated."""
        learner = LearnerSettings(
            model=self.model,
            algorithm=self.algorithm,
            head=self.head,
            batch_size=self.batch_size,
        )
        settings = serving.ServerSettings(
            learner, self.store, self.database, self.weights, self.tokens, self.limits
        )
        serving.serve(settings, console, host=self.host, port=self.port)
