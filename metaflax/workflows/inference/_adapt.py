"""Adaptation to a new task from a file of labelled texts."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from metaflax import _registry, base, data, target_kinds, tasks, tree
from metaflax import config as config_lib
from metaflax._files import check_absent
from metaflax.config._factories import build_algorithm, build_head
from metaflax.data.batching._seq2seq_batches import TokenizedPairs, collate_pairs
from metaflax.data.batching._token_codes import TokenCodes
from metaflax.workflows.runs._console import console_or_quiet
from metaflax.workflows.runs._episodes import (
    coarse_buckets,
    codes_of,
    columns,
    losses_of_cutting,
    losses_of_cutting_pairs,
)
from metaflax.workflows.runs._loaded_model import LoadedModel
from metaflax.workflows.runs._run import (
    Trained,
    fitted,
    load_trained,
    load_untrained,
)
from metaflax.workflows.runs._run_directory import RunDirectory

# Name of the file of support texts in an adapted directory.
SUPPORT = "support.jsonl"


def adapt(
    support_file: str | Path,
    out: str | Path,
    console: Console | None = None,
    *,
    run_dir: str | Path | None = None,
    config: config_lib.Config | None = None,
) -> Path:
    """Adapts a model to a new task from a file of labelled texts.

    Args:
      support_file: JSONL, CSV or Parquet with the config's text and label columns.
      out: directory to write, in Hugging Face's format.
      console: where a summary goes; None for nowhere.
      run_dir: a meta-trained run; None for the pretrained model of `config`.
      config: model, algorithm and task type without a run.

    Returns:
      The directory.

    Raises:
      ValueError: for a file that cannot be used, or with more classes than a learned
        output layer has.
    """
    console = console_or_quiet(console)
    target = Path(out).expanduser()
    check_absent(target)
    config = config or config_lib.Config()
    if run_dir is not None:
        config = RunDirectory(run_dir).config()
    task = config_lib.build_task(config)
    examples = data.read(support_file, task=task, **columns(config.data))
    names = first_seen(examples) or [config.data.label]
    if len(names) < 2 and target_kinds.of(task).single_label:
        raise ValueError(
            f"{support_file}: all texts have the label {names[0]!r}; add"
            " texts of another label, since a task needs at least two classes."
        )
    trained = (
        fitted(load_untrained(config, len(names)))
        if run_dir is None
        else load_trained(run_dir)
    )
    room = _room(trained, len(names), support_file)
    model, params, config = trained.model, trained.params, trained.config
    algorithm = build_algorithm(
        config.algorithm,
        model.encoder,
        model.init,
        task,
        room,
        num_steps=config.algorithm.eval_num_steps,
    )
    _check_linear(config, model, task, room)
    support, cut = _support(model, examples, names, config, task, room)
    adapted, _ = jax.jit(algorithm.adapt)(params, support)
    if model.family.generative:
        save_generative(target, model, params, adapted, config)
        what = config.data.task
    else:
        save_adapted(
            target, model, params, adapted, names, config, task, shown_support(examples)
        )
        what = target_kinds.of(task).describe_adapted(len(names))
    console.print(
        f"adapted to {what} from {len(examples)} texts{cut}: {target}", soft_wrap=True
    )
    return target


def _support(
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
    tokenized = model.tokenize(examples.texts, config.data, task.form)
    codes = codes_of(examples, names, tokenized, task)
    support = (
        support_batch(examples, names, tokenized, room, task)
        if codes is None
        else token_batch(tokenized, codes, len(names), room)
    )
    return support, losses_of_cutting(tokenized, codes)


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


def _check_linear(
    config: config_lib.Config, model: LoadedModel, task: tasks.TaskType, room: int
) -> None:
    settings, num_features = config.algorithm, model.encoder.num_features
    head = build_head(settings, num_features, task, room)
    if task.texts is None and not head.is_linear:
        raise ValueError(
            f"the head of {settings.name} is no linear layer, which a classifier in"
            " Hugging Face's format has; take an algorithm or --head with one, such as"
            " prototypes, ridge or logistic_regression."
        )


def _room(trained: Trained, num_names: int, support_file: str | Path) -> int:
    """Returns the number N of classes of the head, fixed by a learned output layer."""
    config = trained.config
    algorithm = build_algorithm(
        config.algorithm,
        trained.model.encoder,
        trained.model.init,
        config_lib.build_task(config),
        num_names,
    )
    needed = jax.eval_shape(algorithm.init, jax.random.key(0))
    if jax.tree.map(jnp.shape, needed) == jax.tree.map(jnp.shape, trained.params):
        return num_names  # Nothing that was learned depends on their number.
    if num_names > trained.num_classes:
        raise ValueError(
            f"{support_file} has {num_names} classes, and this run's output layer was"
            f" meta-trained for {trained.num_classes}; use protonet or proto_maml,"
            " whose heads take any number, or train with a larger way."
        )
    return trained.num_classes


def first_seen(examples: data.Examples) -> list[str]:
    """Lists label names in the order in which they first occur.

    The classes of an exported episode so keep their numbers.
    """
    return list(dict.fromkeys(name for labels in examples.labels for name in labels))


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


def generative_purpose(config: config_lib.Config) -> dict[str, Any]:
    """Returns what a saved generative model is for: task type and lengths of texts."""
    names = ("task", "max_length", "max_target_length")
    return {name: getattr(config.data, name) for name in names}


def save_generative(
    target: Path,
    model: LoadedModel,
    params: Any,
    adapted: Any,
    config: config_lib.Config,
) -> None:
    """Writes an adapted generative model."""
    merged = tree.merge(adapted["encoder"], params["encoder"])
    model.save(target, merged, purpose=generative_purpose(config))


def save_adapted(
    target: Path,
    model: LoadedModel,
    params: Any,
    adapted: Any,
    names: list[str],
    config: config_lib.Config,
    task: tasks.TaskType,
    support: Mapping[str, str] | None = None,
) -> None:
    """Writes an adapted model as a Hugging Face sequence classifier.

    Raises:
      ValueError: if its encoder has parts that the format cannot express.
    """
    head = jax.tree.map(np.asarray, adapted["head"])
    # The task's own classes come first, then room that it does not need.
    room, classes = len(head["bias"]), task.classes(names)
    kept = [*range(len(classes)), *range(room - len(task.others), room)]
    model.save(
        target,
        tree.merge(adapted["encoder"], params["encoder"]),
        head={"kernel": head["kernel"][:, kept], "bias": head["bias"][kept]},
        labels=[*classes, *task.others],
        pooling=config.model.pooling,
        standardize=config.model.standardize,
        problem_type=target_kinds.of(task).problem_type,
        purpose={"task": config.data.task},
        notes=support,
    )


def shown_support(examples: data.Examples) -> dict[str, str]:
    """Makes the file of support texts for the explanations of `predict --explain`."""
    if not all(isinstance(text, str) for text in examples.texts):
        return {}  # Explanations are of single texts.
    rows = zip(examples.texts, examples.targets or examples.labels, strict=True)
    lines = [
        json.dumps({"text": text, "label": label}, ensure_ascii=False) + "\n"
        for text, label in rows
    ]
    return {SUPPORT: "".join(lines)}


def without_run(
    model: str, algorithm: str, task: str = "classification"
) -> config_lib.Config:
    """Makes the config for adapting a pretrained model without a run.

    Raises:
      ValueError: for an unknown task type, or one that asks for more settings.
    """
    config = config_lib.Config()
    _registry.resolve("task", config_lib.TASKS, task)
    config = dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, name=model),
        data=dataclasses.replace(config.data, task=task),
        algorithm=dataclasses.replace(config.algorithm, name=algorithm),
    )
    config_lib.check(config)
    return config
