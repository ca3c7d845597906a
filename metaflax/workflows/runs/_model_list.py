"""Tables of model families and of the models on PyPI."""

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from metaflax import models, tasks
from metaflax.config import Config
from metaflax.config._factories import TASKS
from metaflax.data.sources._pip_models import PIP_MODELS

# Added parameters for adaptation, by the setting of their size.
_ADDITIONS = {
    "lora_rank": "LoRA",
    "adapter_size": "adapters",
    "context_size": "context",
    "prefix_size": "prefixes",
}


def list_models(console: Console) -> None:
    """Prints the model families with their features, and the models that pip fetches.

    Args:
      console: the console to print to.
    """
    console.print(_families())
    encoders, generative = (", ".join(_tasks(generative=g)) for g in (False, True))
    console.print(f"Tasks of encoders: {encoders}.")
    console.print(f"Tasks of generative models: {generative}.")
    console.print(_pip_models())


def _families() -> Table:
    table = Table(title="model families, by model_type in config.json")
    for column in ("family", "kind", "adaptation", "masked LM", "new"):
        table.add_column(column, overflow="fold")
    for name, family in models.families.FAMILIES.items():
        added = [noun for key, noun in _ADDITIONS.items() if key in family.additions]
        table.add_row(
            name,
            "generative" if family.generative else "encoder",
            ", ".join(added),
            "yes" if family.masked_lm else "",
            "yes" if family.new else "",
        )
    return table


def _pip_models() -> Table:
    table = Table(title="models that pip fetches at first use")
    table.add_column("--model")
    table.add_column("model")
    table.add_column("family")
    table.add_column("MB", justify="right")
    for name, model in PIP_MODELS.items():
        table.add_row(name, model.title, model.model_type, str(model.megabytes))
    return table


def _tasks(*, generative: bool) -> list[str]:
    built: Mapping[str, tasks.TaskType] = {
        name: build(Config()) for name, build in TASKS.items()
    }
    return [name for name, task in built.items() if bool(task.texts) == generative]
