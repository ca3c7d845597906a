"""The command `models`."""

import dataclasses
from typing import ClassVar

from rich.console import Console


@dataclasses.dataclass(frozen=True)
class Models:
    """List the model families, what each can do, and the models that pip fetches."""

    EXAMPLES: ClassVar = ("metaflax models",)
    PAGE: ClassVar = "reference/models"

    def execute(self, console: Console) -> None:
        """Prints tables of model families and of models."""
        from metaflax.workflows.runs._model_list import list_models

        list_models(console)
