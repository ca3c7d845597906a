"""Default encoding of pairs for a model."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

from metaflax import config as config_lib
from metaflax import tasks
from metaflax.models.pretrained._sentence_transformers import sentence_embedding
from metaflax.tasks._forms import ONE_SEQUENCE
from metaflax.workflows.runs._load_model import locate_model


def with_pair_encoding(
    config: config_lib.Config,
    inputs: Callable[[tasks.TaskType], Iterable[Any]] = lambda task: (),
) -> config_lib.Config:
    """Sets the pair encoding that suits the model, if the config names none.

    An encoder of single sentences was trained to compare their vectors, and neither on
    two texts in one sequence, where it is near chance on SciTail (experiments/leopard),
    nor on marked entities (experiments/relations).

    Args:
      config: config of the model and the task type.
      inputs: function that reads the inputs, for a task type of single texts and pairs,
        whose inputs stay in one sequence unless all are pairs (default: no inputs).

    Raises:
      ValueError: if the files of the model, or the inputs, cannot be read.
    """
    if config.model.pair_encoding is not None:
        return config
    task = config_lib.build_task(config)
    encoding = task.form.of_sentences
    if encoding == ONE_SEQUENCE or not _can_be(encoding, config.model):
        return config
    further = {*task.form.encoded_as(encoding).required} - {*task.form.required}
    if further and not _all_have(further, inputs(task), task.form):
        return config
    model = dataclasses.replace(config.model, pair_encoding=encoding)
    return dataclasses.replace(config, model=model)


def _all_have(roles: set[str], inputs: Iterable[Any], form: tasks.Form) -> bool:
    """Returns whether there are inputs, and each has values for some roles."""
    complete = [roles <= form.row(text).keys() for text in inputs]
    return bool(complete) and all(complete)


def _can_be(encoding: str, model: config_lib.ModelConfig) -> bool:
    """Returns whether the model encodes single sentences, with a suitable pooling."""
    embedding = sentence_embedding(locate_model(model.name))
    if embedding is None:
        return False
    pooling = model.pooling or embedding.pooling
    return encoding != "phrase" or pooling == "mean"  # The mean over the phrase.
