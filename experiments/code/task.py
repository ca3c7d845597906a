"""Task type of code generation, scored by exact match and chrF."""

from collections.abc import Sequence
from pathlib import Path

from experiments import common
from metaflax import config as config_lib
from metaflax import metrics, tasks

# Runs refer to the task type by this import path, wherever the checkout is.
TEMPLATE = tasks.read_template(Path(__file__).with_name("template.toml"))


def code_generation(config: config_lib.Config) -> tasks.TaskType:
    """Generation of code from a description; a domain is a command or a library.

    Args:
      config: config of the run.

    Returns:
      A `TaskType` as `tasks.translation`, whose scores are those of `score`.
    """
    return common.generation_task(config, ("exact", "chrf"), score)


def score(generated: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Computes the exact match up to white space, in percent, and chrF.

    Examples:
      >>> score(["ls  -l", "pwd"], ["ls -l", "ls"])["exact"]
      50.0
    """
    same = [a.split() == b.split() for a, b in zip(generated, references, strict=True)]
    exact = 100 * sum(same) / max(len(same), 1)
    return {"exact": exact, "chrf": metrics.chrf(generated, references)}
