"""Downstream fine-tuning with a new output layer, from two initialisations.

The output layer is initialised by the class means of the training texts, which beats a
random one where texts are few. Both the meta-trained and the pretrained encoder are
fine-tuned on the same labelled set for the same steps and scored on the same texts.
"""

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from rich.console import Console

from metaflax import (
    base,
    data,
    evaluation,
    heads,
    reporting,
    target_kinds,
    tasks,
    training,
)
from metaflax import config as config_lib
from metaflax._files import check_absent
from metaflax._wording import counted
from metaflax.data.sources._equal_texts import count_shared
from metaflax.workflows.inference._saved_model import save_adapted
from metaflax.workflows.learning._support_sets import first_seen
from metaflax.workflows.runs._buckets import coarse_buckets
from metaflax.workflows.runs._console import console_or_quiet, report_notes
from metaflax.workflows.runs._embedder import embedder
from metaflax.workflows.runs._episodes import read_examples
from metaflax.workflows.runs._loaded_model import LoadedModel
from metaflax.workflows.runs._trained import load_trained


class Labelled(NamedTuple):
    """Labelled texts as arrays.

    Attributes:
      tokenized: the texts.
      targets: class numbers `[U]`.
    """

    tokenized: data.TokenizedTexts
    targets: np.ndarray


def finetune(
    run_dir: str | Path,
    train_file: str | Path,
    test_file: str | Path,
    console: Console | None = None,
    *,
    out: str | Path | None = None,
    epochs: int = 10,
    batch_size: int = 16,
    learning_rate: float = 5e-5,
    head_learning_rate: float = 1e-3,
    seed: int = 0,
) -> dict[str, evaluation.Interval]:
    """Fine-tunes a run's encoder on a user's own labelled texts.

    Args:
      run_dir: a meta-trained run.
      train_file: labelled texts to fine-tune on, with the run's columns.
      test_file: labelled texts to score on, with the run's columns.
      console: where the table goes; None for nowhere.
      out: directory for the fine-tuned meta-trained model; None for nowhere.
      epochs: number of passes over the training texts.
      batch_size: number of texts per step.
      learning_rate: largest learning rate of the encoder; it decays linearly to 0.
      head_learning_rate: largest learning rate of the new output layer.
      seed: seed for the order of texts and for dropout.

    Returns:
      Accuracy by start, `pretrained` and `meta-trained`, and their paired
      `difference`, with 95 % intervals over test texts.

    Raises:
      ValueError: for files that cannot be used, or a test label that training lacks.

    Examples:
      >>> from metaflax import workflows
      >>> workflows.finetune("runs/a", "train.csv", "test.csv", epochs=0)
      Traceback (most recent call last):
        ...
      ValueError: epochs is 0 and batch_size 16; give 1 or more.
    """
    console = console_or_quiet(console)
    if epochs < 1 or batch_size < 1:
        raise ValueError(
            f"epochs is {epochs} and batch_size {batch_size}; give 1 or more."
        )
    if out is not None:
        check_absent(Path(out).expanduser())
    config, model, params, _ = load_trained(run_dir)
    config = _one_label(config)
    task = config_lib.build_task(config)
    train, test = (
        read_examples(file, config.data, task) for file in (train_file, test_file)
    )
    report_notes([*train.notes, *test.notes, *_leaks(train, test)], console)
    names = first_seen(train)
    if unknown := sorted(set(test.label_names) - set(names)):
        raise ValueError(
            f"{test_file} has labels that {train_file} lacks: {', '.join(unknown)}; add"
            " training texts of them."
        )
    known = [labelled(e, names, model, config, task.form) for e in (train, test)]
    starts = {"pretrained": model.init(None), "meta-trained": params["encoder"]}
    right, tuned = {}, {}
    for start, encoder in starts.items():
        tuned[start] = tune(
            model,
            encoder,
            known[0],
            len(names),
            epochs=epochs,
            batch_size=batch_size,
            rates=(learning_rate, head_learning_rate),
            seed=seed,
            temperature=config.algorithm.temperature,
        )
        right[start] = _score(model, tuned[start], known[1], batch_size)
    results = {start: evaluation.mean_interval(x) for start, x in right.items()}
    results["difference"] = evaluation.paired_interval(*right.values())
    console.print(
        reporting.comparison_table(
            f"fine-tuned on {counted(len(train), 'text')} of {len(names)} classes,"
            f" {counted(len(test), 'test text')}",
            {start: {"accuracy": interval} for start, interval in results.items()},
            ("accuracy",),
        )
    )
    if out is not None:
        best = tuned["meta-trained"]
        adapted = {"encoder": best["encoder"], "head": best["head"]}
        save_adapted(Path(out), model, best, adapted, names, config, task)
        console.print(f"The meta-trained one is in {out}.")
    return results


def _leaks(train: data.Examples, test: data.Examples) -> list[str]:
    """Describes test texts that occur in the training data."""
    shared = count_shared(test.texts, train.texts)
    if not shared:
        return []
    return [
        f"{shared} of {len(test)} test texts are training texts too, up to case and"
        " white space; the accuracy on them says nothing about new texts."
    ]


def _one_label(config: config_lib.Config) -> config_lib.Config:
    """Returns the config with the task type of a single label per example.

    The form of the inputs stays, if the labels of the run's task type are classes.
    """
    kind = target_kinds.of(config_lib.build_task(config))
    if not kind.has_classes:
        raise ValueError(
            f"finetune needs classes, and this run's targets are {kind.name}; use"
            " `adapt` with the labelled file instead."
        )
    task = config.data.task if kind.single_label else "classification"
    return dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, task=task),
        episodes=dataclasses.replace(config.episodes, none_rate=0.0),
    )


def labelled(
    examples: data.Examples,
    names: list[str],
    model: LoadedModel,
    config: config_lib.Config,
    form: tasks.Form,
) -> Labelled:
    """Tokenizes texts of one label each; targets are indices into `names`."""
    if examples.is_multi_label:
        raise ValueError(f"{examples.name}: fine-tuning takes one label a text.")
    targets = np.array([names.index(labels[0]) for labels in examples.labels], np.int32)
    return Labelled(model.tokenize(examples.texts, config.data, form), targets)


def _batches(labelled: Labelled, size: int, order: np.ndarray) -> Iterator[base.Batch]:
    buckets = coarse_buckets(labelled.tokenized)
    for first in range(0, len(order), size):
        rows = order[first : first + size]
        targets, weights = np.zeros(size, np.int32), np.zeros(size, np.float32)
        targets[: len(rows)], weights[: len(rows)] = labelled.targets[rows], 1
        inputs = data.collate_texts(labelled.tokenized, rows, size, buckets)
        yield base.Batch(inputs, targets, weights)


def tune(
    model: LoadedModel,
    encoder: Any,
    train: Labelled,
    num_classes: int,
    *,
    epochs: int,
    batch_size: int,
    rates: tuple[float, float],
    seed: int,
    temperature: float,
) -> Any:
    """Fine-tunes and returns `{"encoder": ..., "head": ...}`."""
    params = {
        "encoder": encoder,
        "head": _class_means(model, encoder, train, num_classes, temperature),
    }
    num_steps = epochs * math.ceil(len(train.targets) / batch_size)
    schedules = [
        training.schedule("linear", rate, num_steps, num_steps // 10) for rate in rates
    ]
    optimizer = training.outer_optimizer(
        "adamw", schedules[0], head_learning_rate=schedules[1]
    )
    task = tasks.classification()

    @jax.jit
    def step(params, state, batch, key):
        def loss(params):
            features = model.encoder.apply(params["encoder"], batch.inputs, key)
            logits = features @ params["head"]["kernel"]
            logits = logits + params["head"]["bias"][None, :]
            outputs = base.ClassOutputs(logits, jnp.ones(num_classes, bool))
            return task.loss(outputs, batch.targets, batch.weights)

        grads = jax.grad(loss)(params)
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    state = optimizer.init(params)
    key = jax.random.key(seed, impl="rbg")
    number = 0
    for epoch in range(epochs):
        rng = np.random.Generator(np.random.Philox(key=[seed, epoch]))
        order = rng.permutation(len(train.targets))
        for batch in data.prefetch(_batches(train, batch_size, order)):
            params, state = step(params, state, batch, jax.random.fold_in(key, number))
            number += 1
    return params


def _class_means(
    model: LoadedModel,
    encoder: Any,
    train: Labelled,
    num_classes: int,
    temperature: float,
) -> Any:
    """Initialises an output layer by the class means of the training texts."""
    features = embedder(model)(encoder, train.tokenized, np.arange(len(train.targets)))
    head = heads.prototypes(num_classes, temperature=temperature)
    weights = jnp.ones(len(train.targets))
    fitted = head.fit(
        head.init(jax.random.key(0)),
        jnp.asarray(features),
        jnp.asarray(train.targets),
        weights,
    )
    return {"kernel": fitted["kernel"], "bias": fitted["bias"]}


def _score(model: LoadedModel, params: Any, test: Labelled, size: int) -> np.ndarray:
    """Computes 1 for each correctly classified test text and 0 else, `[U]`."""

    @jax.jit
    def predict(params, batch):
        features = model.encoder.apply(params["encoder"], batch.inputs, None)
        logits = features @ params["head"]["kernel"]
        return jnp.argmax(logits + params["head"]["bias"][None, :], axis=-1)

    # By length, so that little of a batch is padding.
    order = np.argsort(test.tokenized.lengths, kind="stable")
    answers = [np.asarray(predict(params, b)) for b in _batches(test, size, order)]
    right = np.zeros(len(order))
    right[order] = np.concatenate(answers)[: len(order)] == test.targets[order]
    return right
