"""Checks of a run's settings that concern more than one of them."""

import math

from metaflax import _optimizers, target_kinds, tasks
from metaflax.config._data_settings import DataConfig
from metaflax.config._factories import build_task
from metaflax.config._pretraining import check_outer_optimizer
from metaflax.config._settings import Config

# Least value of counts, by the section that they are in.
_COUNTS = {
    "training": ("steps", "tasks_per_step", "eval_every", "valid_episodes"),
    "evaluation": ("test_episodes", "batch_episodes"),
    "data": ("max_target_length",),
}


def check(config: Config) -> None:
    """Raises ValueError if a setting of a run is invalid.

    Args:
      config: settings of a run.

    Raises:
      ValueError: naming the setting and what it may be.

    Examples:
      >>> from metaflax import config
      >>> data = config.DataConfig(path="pets.csv")
      >>> config.check(config.Config(data=data))
      >>> episodes = config.EpisodeConfig(none_rate=0.5)
      >>> config.check(config.Config(data=data, episodes=episodes))
      Traceback (most recent call last):
        ...
      ValueError: none_rate is 0.5, and the task type 'classification' has no ...
    """
    _check_numbers(config)
    _check_optimizers(config)
    task = build_task(config)
    if config.model.pooling == "pooler" and config.model.standardize:
        raise ValueError(
            "pooling 'pooler' cannot be standardized, since no Hugging Face classifier"
            " does so; set standardize to False."
        )
    pooling = config.model.pooling
    if pooling is not None and (task.tokens is not None) != (pooling == "tokens"):
        raise ValueError(
            f"pooling is {pooling!r} and the task type is"
            f" {config.data.task!r}; task types with targets of tokens, such as"
            " entities, take pooling 'tokens', and no others do."
        )
    if config.episodes.none_rate and not task.none_of_the_above:
        raise ValueError(
            f"none_rate is {config.episodes.none_rate}, and the task type"
            f" {config.data.task!r} has no queries of none of the classes; set it to 0."
        )
    if config.algorithm.calibrate and (task.template is None or task.texts is not None):
        raise ValueError(
            "calibrate divides the likelihoods that a generative model gives to classes"
            f" and choices, and there are none with the task type {config.data.task!r}"
            " here; leave it out, or name a template that writes {label}."
        )
    if config.model.capitals and config.data.task != "entities":
        raise ValueError(
            "capitals are features of words, and the task type is"
            f" {config.data.task!r}; leave them out, or take entities."
        )
    _check_raw_text(config.data, task)
    _check_variants(config.data, task)
    _check_rare_classes(config.data, task)
    _check_on_disk(config.data, task)
    check_label_names(config.data, task)


def _check_numbers(config: Config) -> None:
    for section, names in _COUNTS.items():
        for name in names:
            if (count := getattr(getattr(config, section), name)) < 1:
                raise ValueError(f"{name} is {count}; give 1 or more.")
    config.evaluation.check()
    if (skipped := config.training.max_skipped_steps) < 0:
        raise ValueError(f"max_skipped_steps is {skipped}; give 0 or more.")
    if not 0 <= config.data.variant_rate <= 1:
        raise ValueError(f"variant_rate is {config.data.variant_rate}; give 0 to 1.")


def _check_optimizers(config: Config) -> None:
    algorithm, training = config.algorithm, config.training
    _optimizers.by_name(algorithm.inner_optimizer)
    _optimizers.check_rates(inner_learning_rate=algorithm.inner_learning_rate)
    check_outer_optimizer(training)
    _optimizers.check_rates(
        head_learning_rate=training.head_learning_rate,
        hyper_learning_rate=training.hyper_learning_rate,
    )


def _check_raw_text(data: DataConfig, task: tasks.TaskType) -> None:
    by_label = data.domain, data.split_file, data.split_names, data.more_train
    if task.raw_text and any(by_label):
        raise ValueError(
            f"{data.task} splits the words of raw text by split_seed; leave out domain,"
            " split_file, split_names and more_train."
        )


def _check_variants(data: DataConfig, task: tasks.TaskType) -> None:
    if data.variants is None:
        return
    if not task.variants:
        raise ValueError(
            f"variants do not go with the task type {data.task!r}: they are for single"
            " texts with labels; leave them out."
        )
    if data.path == "scored-texts":
        raise ValueError("scored-texts have no variants; leave them out.")


def _check_rare_classes(data: DataConfig, task: tasks.TaskType) -> None:
    of_texts = target_kinds.of(task).has_classes and not task.raw_text
    if data.rare_classes == "drop" and not of_texts:
        raise ValueError(
            "rare_classes is 'drop', which is for task types whose texts have classes,"
            f" and {data.task!r} has none; leave it out."
        )


def check_label_names(data: DataConfig, task: tasks.TaskType) -> None:
    """Raises ValueError if names of classes cannot be support examples.

    Raises:
      ValueError: naming the reason.
    """
    if not data.uses_label_names:
        return
    weight = data.label_name_weight
    if not 0 < weight < math.inf:
        raise ValueError(
            f"label_name_weight is {weight}; give a number above 0, or leave out"
            " label_names for no use of names."
        )
    reason = None
    if task.is_generative:
        reason = "the model is generative, whose templates write names"
    elif task.raw_text or not target_kinds.of(task).single_label:
        reason = f"with the task type {data.task!r} a text has no single named class"
    elif task.form.of_name is None:
        reason = f"a name by itself is no {task.form.name}, as inputs are here"
    if reason is not None:
        raise ValueError(
            f"label_names is {data.label_names!r}, and {reason}; leave it out, or take"
            " classification of single texts by an encoder."
        )
    if data.on_disk:
        raise ValueError(
            f"label_names is {data.label_names!r}, which does not go with on_disk;"
            " leave one of them out."
        )


def _check_on_disk(data: DataConfig, task: tasks.TaskType) -> None:
    if not data.on_disk:
        return
    if not task.on_disk:
        raise ValueError(
            f"on_disk does not go with the task type {data.task!r}: it is for single"
            " texts with one label; leave it out."
        )
    if data.path == "scored-texts":
        raise ValueError(
            "scored-texts are built in and fit in memory; leave on_disk out."
        )
    usual = DataConfig()
    for name in (
        *("domain", "split_by", "unlabelled", "label_separator"),
        *("variants", "more_train"),
    ):
        if getattr(data, name) != getattr(usual, name):
            raise ValueError(
                f"{name} is {getattr(data, name)!r}, which does not go with on_disk;"
                " leave one of them out."
            )
