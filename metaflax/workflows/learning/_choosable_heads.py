"""Checks of whether a head can be chosen, and the default head of a choice."""

import dataclasses

from metaflax import target_kinds, tasks
from metaflax.config import AlgorithmConfig
from metaflax.config._factories import build_head, resolve_algorithm
from metaflax.workflows.learning._support import LEAST_CLASSES

# Value of the setting `head` that requests a choice.
AUTO = "auto"


def check_choosable(config: AlgorithmConfig, task: tasks.TaskType) -> None:
    """Checks that heads of this task and algorithm are fitted to fixed features.

    Raises:
      ValueError: if they are not; the message names the reason.
    """
    if reason := _why_not_choosable(config, task):
        raise ValueError(reason)


def refuse_strength(strength: float | None) -> None:
    """Raises ValueError for a strength beside the head auto, which chooses its own."""
    if strength is None:
        return
    raise ValueError(
        f"strength is {strength}, which the head {AUTO!r} chooses as well; leave it"
        " out, or name a head."
    )


def chooses_head_by_default(config: AlgorithmConfig, task: tasks.TaskType) -> bool:
    """Returns whether a head is chosen by default: on a frozen pretrained encoder.

    With a temperature or a strength, which belong to the default head, none is chosen.

    Examples:
      >>> chooses_head_by_default(AlgorithmConfig("frozen"), tasks.classification())
      True
      >>> ridge = AlgorithmConfig("frozen", head="ridge")
      >>> chooses_head_by_default(ridge, tasks.classification())
      False
    """
    untouched = AlgorithmConfig("frozen")
    as_it_is = (config.head, config.temperature, config.strength) == (
        untouched.head,
        untouched.temperature,
        untouched.strength,
    )
    frozen = config.name == untouched.name and task.template is None
    return frozen and as_it_is and not _why_not_choosable(config, task)


def _why_not_choosable(config: AlgorithmConfig, task: tasks.TaskType) -> str:
    kind = target_kinds.of(task)
    if not kind.single_label or task.tokens is not None or task.others:
        noun = "several classes a text" if kind.noun == "classes" else kind.noun
        if task.others:
            noun = f"{task.others[0]} beside the classes"
        if task.tokens is not None:
            noun = "targets of tokens"
        return (
            f"the head {AUTO!r} chooses among heads of one class a text, and this task"
            f" type predicts {noun}; name a head, or leave it out."
        )
    if resolve_algorithm(config.name).has_inner_steps:
        return (
            f"the head {AUTO!r} is chosen on features that do not adapt, and"
            f" {config.name} adapts by inner steps; take another algorithm or leave the"
            " head out."
        )
    return ""


def choosable_default(
    config: AlgorithmConfig, num_features: int, task: tasks.TaskType
) -> AlgorithmConfig:
    """Returns the config of the default head of a choice.

    Class means replace a head that is not linear, or that needs texts without labels.

    Examples:
      >>> matching = AlgorithmConfig("matching")
      >>> choosable_default(matching, 4, tasks.classification()).head
      'prototypes'
    """
    head = build_head(config, num_features, task, LEAST_CLASSES)
    if head.is_linear and not head.takes_unlabelled:
        return config
    return dataclasses.replace(config, name="frozen", head="prototypes")
