"""Task type of attribute-controlled generation, scored by distinct-n."""

from collections.abc import Sequence
from pathlib import Path

from experiments import common
from metaflax import config as config_lib
from metaflax import metrics, tasks

# Runs refer to the task type by this import path, wherever the checkout is.
TEMPLATE = tasks.read_template(Path(__file__).with_name("template.toml"))


def controllable_generation(config: config_lib.Config) -> tasks.TaskType:
    """Generation of texts with the attribute of a domain.

    Args:
      config: config of the run.

    Returns:
      A `TaskType` as `tasks.translation`, whose texts are scored by distinct-1 and
      distinct-2. Whether they have the attribute is judged afterwards, see `judge`.
    """
    return common.generation_task(config, ("distinct1", "distinct2"), score)


def score(generated: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Computes distinct-1 and distinct-2 of the texts of an episode.

    Examples:
      >>> score(["so good so good"], [""])
      {'distinct1': 0.5, 'distinct2': 0.6666666666666666}
    """
    del references
    return {f"distinct{n}": metrics.distinct(generated, n) for n in (1, 2)}
