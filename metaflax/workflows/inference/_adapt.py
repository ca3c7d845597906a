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
from metaflax.models.pretrained._sentence_transformers import sentence_embedding
from metaflax.workflows.runs._calibration import Calibration, read_calibration
from metaflax.workflows.runs._console import console_or_quiet, report_notes
from metaflax.workflows.runs._episodes import (
    coarse_buckets,
    codes_of,
    losses_of_cutting,
    losses_of_cutting_pairs,
    read_examples,
)
from metaflax.workflows.runs._episodes import columns as run_columns
from metaflax.workflows.runs._loaded_model import LoadedModel, locate
from metaflax.workflows.runs._run import (
    Trained,
    fitted,
    load_trained,
    load_untrained,
)
from metaflax.workflows.runs._run_directory import RunDirectory

# How a support file is read, beside its columns; of the run's own, only the separator.
_SUPPORT_SETTINGS = ("label_separator", "split", "encoding")
# Name of the file of support texts in an adapted directory.
SUPPORT = "support.jsonl"


def adapt(
    support_file: str | Path,
    out: str | Path,
    console: Console | None = None,
    *,
    run_dir: str | Path | None = None,
    config: config_lib.Config | None = None,
    **columns: str | None,
) -> Path:
    """Adapts a model to a new task from a file of labelled texts.

    Args:
      support_file: labelled texts, as for `data.read`.
      out: directory to write, in Hugging Face's format.
      console: where a summary goes; None for nowhere.
      run_dir: a meta-trained run; None for the pretrained model of `config`.
      config: model, algorithm and task type without a run.
      **columns: columns of the file by their setting in `config.DataConfig`, such as
        `text` and `label`, and `unlabelled`, `label_separator`, `split` and `encoding`
        (default: those of the run or config; no split and encoding).

    Returns:
      The directory.

    Raises:
      ValueError: for a file that cannot be used, or with more classes than a learned
        output layer has, or for both a run and a config.
    """
    console = console_or_quiet(console)
    target = Path(out).expanduser()
    check_absent(target)
    if run_dir is not None and config is not None:
        raise ValueError("a run has a config of its own; leave run_dir or config out.")
    config = config or config_lib.Config()
    if run_dir is not None:
        config = RunDirectory(run_dir).config()
    task = config_lib.build_task(config)
    source = _with_columns(config.data, columns)
    examples = read_examples(support_file, source, task, split=source.split)
    report_notes(examples.notes, console)
    names = first_seen(examples) or [source.label]
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
    calibration = None if run_dir is None else read_calibration(RunDirectory(run_dir))
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
            target,
            model,
            params,
            adapted,
            names,
            config,
            task,
            support=shown_support(examples),
            calibration=calibration,
        )
        what = target_kinds.of(task).describe_adapted(len(names))
    console.print(
        f"adapted to {what} from {len(examples)} texts{cut}: {target}", soft_wrap=True
    )
    if calibration is not None:
        console.print(
            f"calibrated at temperature {calibration.temperature:.3g}, fitted on"
            f" {calibration.queries} {calibration.episodes} queries of meta-validation",
            soft_wrap=True,
        )
    elif run_dir is not None and _is_calibrated(task):
        console.print(
            f"not calibrated, since the run is of an earlier version: `metaflax"
            f" evaluate {run_dir}` fits a temperature; then adapt again",
            soft_wrap=True,
        )
    return target


def _with_columns(
    config: config_lib.DataConfig, columns: Mapping[str, str | None]
) -> config_lib.DataConfig:
    """Replaces the columns that are given.

    Raises:
      ValueError: for a name that is no setting of columns.
    """
    known = (*run_columns(config), "unlabelled", *_SUPPORT_SETTINGS)
    if unknown := [name for name in columns if name not in known]:
        raise ValueError(
            f"{unknown[0]!r} is no setting of the columns of a support file; known:"
            f" {', '.join(known)}."
        )
    given = {name: value for name, value in columns.items() if value is not None}
    config = dataclasses.replace(config, split=None, encoding=None)
    return dataclasses.replace(config, **given)  # pyright: ignore


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


def _is_calibrated(task: tasks.TaskType) -> bool:
    return target_kinds.of(task).single_label and task.tokens is None


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
    *,
    support: Mapping[str, str] | None = None,
    calibration: Calibration | None = None,
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
        pooling=model.pooling,
        standardize=model.standardize,
        problem_type=target_kinds.of(task).problem_type,
        purpose=_purpose(model, config, calibration),
        notes=support,
    )


def _purpose(
    model: LoadedModel, config: config_lib.Config, calibration: Calibration | None
) -> dict[str, Any]:
    """Returns what a saved classifier is for, and its calibration if it has one."""
    purpose = {"task": config.data.task, "max_length": model.max_positions}
    if calibration is None:
        return purpose
    return purpose | {"calibration": calibration._asdict()}


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
    model: str = "minilm",
    algorithm: str = "frozen",
    task: str = "classification",
    **settings: Any,
) -> config_lib.Config:
    """Makes the config for adapting a pretrained model without a run.

    Args:
      model: directory or hub name of the model.
      algorithm: adaptation, such as frozen or fine_tuning.
      task: task type.
      **settings: further settings of the model, the data, the episodes or the
        algorithm, such as `pooling`, `tagging` or `head`; None for the default. The
        default of `max_length` is that of a sentence-transformers folder.

    Raises:
      ValueError: for an unknown task type or setting, or settings that do not fit each
        other.
    """
    config = config_lib.Config()
    _registry.resolve("task", config_lib.TASKS, task)
    given = {name: value for name, value in settings.items() if value is not None}
    sections: dict[str, dict[str, Any]] = {
        "model": {"name": model},
        "data": {"task": task},
        "episodes": {},
        "algorithm": {"name": algorithm},
    }
    for section, values in sections.items():
        fields = {field.name for field in dataclasses.fields(getattr(config, section))}
        for name in (fields & set(given)) - {"name", "path"}:
            values[name] = given.pop(name)
    if given:
        raise ValueError(
            f"there is no setting {next(iter(given))!r} of a model, its data or its"
            " adaptation; see `metaflax adapt --help`."
        )
    config = dataclasses.replace(
        config,
        **{
            section: dataclasses.replace(getattr(config, section), **values)
            for section, values in sections.items()
        },
    )
    config_lib.check(config)
    if "max_length" in sections["data"] or config_lib.build_task(config).texts:
        return config
    embedding = sentence_embedding(locate(model))
    if embedding is None or embedding.max_length is None:
        return config
    own = dataclasses.replace(config.data, max_length=embedding.max_length)
    return dataclasses.replace(config, data=own)
