"""Support sets of a learner, padded so that tasks of different size share programs."""

from collections.abc import Sequence

import numpy as np

from metaflax import base, data, target_kinds, tasks
from metaflax.data.sources._label_texts import LabelTexts
from metaflax.workflows.learning._support_sets import support_of
from metaflax.workflows.learning._text_encoder import Encoded, TextEncoder
from metaflax.workflows.runs._buckets import coarse_buckets, coarse_up_to
from metaflax.workflows.runs._episode_texts import EncodedTexts, codes_of

# Support sets are padded to at least these sizes: of texts, which adaptation has to
# encode, by up to a quarter, and of features, where padding costs next to nothing, to
# powers of two.
LEAST_TEXTS, LEAST_FEATURES = 8, 16
# Classes are padded to powers of two from this one on, for the same reason.
LEAST_CLASSES = 8


def feature_support(
    encoded: Encoded,
    task: tasks.TaskType,
    examples: data.Examples,
    names: Sequence[str],
    room: int,
    named: LabelTexts,
) -> base.Batch:
    """Makes a padded support set of features `[S, D]`, those of names at the end."""
    size = power_of_two(len(encoded.features), LEAST_FEATURES)
    features = _padded(encoded.features, size)
    return _batch(features, size, task, examples, names, room, named)


def with_unlabelled(support: base.Batch, encoded: Encoded) -> base.Batch:
    """Adds features of unlabelled texts to a padded support set of classes."""
    size = power_of_two(len(encoded.features), LEAST_FEATURES)
    return base.Batch(
        np.concatenate([support.inputs, _padded(encoded.features, size)]),
        np.concatenate([support.targets, np.full(size, -1, support.targets.dtype)]),
        np.concatenate(
            [
                support.weights,
                _padded(np.ones(len(encoded.features), np.float32), size),
            ]
        ),
    )


def text_support(
    encoder: TextEncoder,
    task: tasks.TaskType,
    examples: data.Examples,
    names: Sequence[str],
    room: int,
    named: LabelTexts,
) -> base.Batch:
    """Makes a padded support set of tokens `[S, L]`, those of names at the end."""
    texts = (*examples.texts, *named.inputs)
    size, rows = close_size(len(texts), LEAST_TEXTS), range(len(texts))
    longest = encoder.form.row_length(encoder.max_length)
    lengths = coarse_up_to(longest).lengths
    buckets = data.Buckets(lengths, budget_ratio=4.0)
    inputs = data.collate_texts(encoder.tokenize(texts), rows, size, buckets)
    return _batch(inputs, size, task, examples, names, room, named)


def token_support(
    encoder: TextEncoder,
    task: tasks.TaskType,
    examples: data.Examples,
    names: Sequence[str],
    room: int,
) -> base.Batch:
    """Makes a support set of tokens with a target each `[S, L]`."""
    tokenized = encoder.tokenize(examples.texts)
    codes = codes_of(examples, names, tokenized, task)
    assert codes is not None
    texts = EncodedTexts(tokenized, coarse_buckets(tokenized), codes)
    return support_of(texts, None, len(examples), len(names), room)


def power_of_two(number: int, least: int) -> int:
    """Returns the smallest power of two times `least` that is not below `number`."""
    size = least
    while size < number:
        size *= 2
    return size


def close_size(number: int, least: int) -> int:
    """Returns the smallest size that is not below `number`, of four per doubling.

    Examples:
      >>> [close_size(number, 8) for number in (3, 9, 36, 41, 64)]
      [8, 10, 40, 48, 64]
    """
    step = power_of_two(number, least) // 8
    return max(least, step * -(-number // step))


def _batch(
    inputs: object,
    size: int,
    task: tasks.TaskType,
    examples: data.Examples,
    names: Sequence[str],
    room: int,
    named: LabelTexts,
) -> base.Batch:
    """Adds padded targets and weights of one target per text to inputs."""
    to_arrays = target_kinds.of(task).to_arrays
    assert to_arrays is not None  # Only task types with targets of tokens lack it.
    targets = to_arrays(examples, list(names), room)
    weights = np.ones(len(examples), np.float32)
    if named.inputs:
        of_names = np.array(named.classes, targets.dtype)
        targets = np.concatenate([targets, of_names])
        given = np.full(len(of_names), named.weight, np.float32)
        weights = np.concatenate([weights, given])
    return base.Batch(inputs, _padded(targets, size), _padded(weights, size))


def _padded(array: np.ndarray, size: int) -> np.ndarray:
    """Pads the first axis with zeros."""
    rows = np.zeros((size, *array.shape[1:]), array.dtype)
    rows[: len(array)] = array
    return rows
