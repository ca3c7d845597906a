"""Support sets of all examples of a file."""

import dataclasses

import jax
import numpy as np

from metaflax import base, data, target_kinds, tasks
from metaflax import config as config_lib
from metaflax.data.samplers._episodes import EpisodeSizes
from metaflax.data.samplers._named_classes import with_names
from metaflax.data.sources._label_texts import LabelTexts
from metaflax.workflows.runs._episode_texts import (
    EpisodeTexts,
    TextsWithChoices,
    texts_of,
)
from metaflax.workflows.runs._episodes import names_of_classes
from metaflax.workflows.runs._loaded_model import LoadedModel


def first_seen(examples: data.Examples) -> list[str]:
    """Lists label names in the order of their first occurrence.

    This keeps the class numbers of an exported episode.
    """
    return list(dict.fromkeys(name for labels in examples.labels for name in labels))


def support_set(
    model: LoadedModel,
    examples: data.Examples,
    names: list[str],
    config: config_lib.Config,
    task: tasks.TaskType,
    room: int,
) -> tuple[base.Batch, str]:
    """Makes a support set of all examples, and describes what was truncated.

    Args:
      model: whose tokenizer encodes them.
      examples: the support set.
      names: names of the classes, in the order of their numbers.
      config: config with the lengths of texts.
      task: the task type.
      room: number of classes to pad to.

    Raises:
      ValueError: if a text is too long.
    """
    # Contextual bias is measured when a run is trained, not for each task.
    plain = dataclasses.replace(config.algorithm, calibrate=False)
    config = dataclasses.replace(config, algorithm=plain)
    named = names_of_classes(names, config.data, task)
    further = () if named is None else named.inputs
    texts = texts_of(examples, names, config, task, model, further)
    if isinstance(texts, TextsWithChoices):
        choices = (texts.written.choices_of(n, names) for n in range(len(examples)))
        room = max(map(len, choices))
    to_arrays = target_kinds.of(task).to_arrays
    targets = None if to_arrays is None else to_arrays(examples, names, room)
    support = support_of(texts, targets, len(examples), len(names), room, named)
    return support, texts.truncation()


def support_of(
    texts: EpisodeTexts,
    targets: np.ndarray | None,
    num_texts: int,
    num_names: int,
    room: int,
    named: LabelTexts | None = None,
) -> base.Batch:
    """Makes one support set of all texts.

    Args:
      texts: tokens of the texts.
      targets: target of each text; None if targets belong to tokens.
      num_texts: S, number of texts.
      num_names: number of classes.
      room: number of classes to pad to.
      named: names of the classes, if any; their tokens follow those of the texts.
    """
    rows, none = np.arange(num_texts, dtype=np.int32), np.zeros(0, np.int32)
    if targets is None:
        targets = np.zeros(num_texts, np.int32)
    classes = tuple(range(min(num_names, room)))
    episode = data.Episode(classes, None, rows, targets, none, targets[:0])
    if named is not None:
        episode = with_names(episode, named, num_texts)
    size = len(episode.fitted.rows)
    task = texts.collate([episode], EpisodeSizes(room, size, 0))
    return jax.tree.map(lambda leaf: leaf[0], task.support)
