"""Support sets of all examples of a file."""

import jax
import numpy as np

from metaflax import base, data, target_kinds, tasks
from metaflax import config as config_lib
from metaflax.config._factories import resolve_algorithm
from metaflax.data.batching._choice_batches import collate_choices
from metaflax.data.batching._seq2seq_batches import collate_pairs
from metaflax.data.batching._seq2seq_tokens import TokenizedPairs
from metaflax.data.batching._token_codes import TokenCodes
from metaflax.data.samplers._episodes import EpisodeSizes
from metaflax.workflows.runs._episodes import (
    coarse_buckets,
    codes_of,
    losses_of_cutting,
    losses_of_cutting_pairs,
)
from metaflax.workflows.runs._loaded_model import LoadedModel


def first_seen(examples: data.Examples) -> list[str]:
    """Lists label names in the order in which they first occur.

    The classes of an exported episode so keep their numbers.
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
    """Makes a support set of all examples, and says what was truncated."""
    if task.texts is not None:
        pairs = model.tokenize_pairs(
            examples.texts, examples.targets or (), config.data, task.texts
        )
        return pairs_batch(pairs), losses_of_cutting_pairs(pairs)
    if task.template is not None:
        return _choice_batch(model, examples, names, config, task)
    tokenized = model.tokenize(examples.texts, config.data, task.form)
    codes = codes_of(examples, names, tokenized, task)
    support = (
        support_batch(examples, names, tokenized, room, task)
        if codes is None
        else token_batch(tokenized, codes, len(names), room)
    )
    return support, losses_of_cutting(tokenized, codes)


def _choice_batch(
    model: LoadedModel,
    examples: data.Examples,
    names: list[str],
    config: config_lib.Config,
    task: tasks.TaskType,
) -> tuple[base.Batch, str]:
    """Makes one support set of all texts with their choices."""
    written = model.write_choices(
        examples.texts, names, config.data, task, calibrate=False
    )
    to_arrays = target_kinds.of(task).to_arrays
    assert to_arrays is not None  # Classes and choices have them.
    rows, none = np.arange(len(examples), dtype=np.int32), np.zeros(0, np.int32)
    gold = to_arrays(examples, names, len(names))
    episode = data.Episode(tuple(range(len(names))), None, rows, gold, none, none)
    most = max(len(written.choices_of(int(n), names)) for n in rows)
    batch = collate_choices(
        [episode],
        written,
        names,
        EpisodeSizes(most, len(rows), 0),
        only_gold=resolve_algorithm(config.algorithm.name).in_context,
    )
    cut = written.num_truncated
    note = f", {cut} truncated to {config.data.max_length} tokens" if cut else ""
    return jax.tree.map(lambda x: x[0], batch.support), note


def pairs_batch(pairs: TokenizedPairs) -> base.Batch:
    """Makes one support set of all inputs and target texts."""
    rows = np.arange(len(pairs.inputs), dtype=np.int32)
    none = np.zeros(len(rows), np.int32)
    episode = data.Episode((), None, rows, none, rows[:0], none[:0])
    task = collate_pairs(
        [episode],
        pairs,
        buckets=coarse_buckets(pairs.prompts, pairs.inputs),
        num_classes=1,
        num_support=len(rows),
        num_queries=0,
    )
    return jax.tree.map(lambda x: x[0], task.support)


def support_batch(
    examples: data.Examples,
    names: list[str],
    tokenized: data.TokenizedTexts,
    num_classes: int,
    task: tasks.TaskType,
) -> base.Batch:
    """Collates all examples into one support set."""
    inputs = data.collate_texts(
        tokenized, np.arange(len(examples)), len(examples), coarse_buckets(tokenized)
    )
    to_arrays = target_kinds.of(task).to_arrays
    assert to_arrays is not None  # Targets of tokens are made by `token_batch`.
    targets = to_arrays(examples, names, num_classes)
    return base.Batch(inputs, targets, np.ones(len(examples), np.float32))


def token_batch(
    tokenized: data.TokenizedTexts,
    codes: TokenCodes,
    num_names: int,
    num_classes: int,
) -> base.Batch:
    """Collates all rows of tokens and their targets into one support set."""
    rows = np.arange(len(tokenized))
    inputs = data.collate_texts(tokenized, rows, len(rows), coarse_buckets(tokenized))
    targets = np.full(np.shape(inputs.ids), -1, np.int32)  # [S, L]
    for row, target in zip(rows, targets, strict=True):
        row_codes = codes.flat[tokenized.offsets[row] : tokenized.offsets[row + 1]]
        target[: len(row_codes)] = codes.local(row_codes, range(num_names), num_classes)
    return base.Batch(inputs, targets, np.ones(len(rows), np.float32))
