"""The encoding of pairs that suits a model, where a config names none."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

from metaflax import config as config_lib
from metaflax import tasks
from metaflax.models.pretrained._sentence_transformers import sentence_embedding
from metaflax.tasks._forms import ONE_SEQUENCE
from metaflax.workflows.runs._loaded_model import locate_model


def with_pair_encoding(
    config: config_lib.Config,
    inputs: Callable[[tasks.TaskType], Iterable[Any]] = lambda task: (),
) -> config_lib.Config:
    """Names the pair encoding that follows from the model, where there is a choice.

    An encoder of single sentences has learned to compare their vectors, and nothing of
    two texts in one sequence, where it is near chance on SciTail (experiments/leopard);
    and nothing of marked entities (experiments/relations).

    Args:
      config: of the model and the task type.
      inputs: reads the inputs, where a task type takes single texts as well as pairs;
        those stay in one sequence unless all are pairs (default: none).

    Raises:
      ValueError: if the files of the model, or the inputs, cannot be had.
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
    """Whether there are inputs, and each has values for some roles."""
    given = [roles <= form.row(text).keys() for text in inputs]
    return bool(given) and all(given)


def _can_be(encoding: str, model: config_lib.ModelConfig) -> bool:
    """Whether the model is one of single sentences, with the pooling that it takes."""
    embedding = sentence_embedding(locate_model(model.name))
    if embedding is None:
        return False
    pooling = model.pooling or embedding.pooling
    return encoding != "phrase" or pooling == "mean"  # That of a part of a text.
