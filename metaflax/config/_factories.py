"""Factories of task types, algorithms and heads from configs."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import optax

from metaflax import (
    _optimizers,
    _registry,
    algorithms,
    base,
    heads,
    inner_optimizers,
    target_kinds,
    tasks,
)
from metaflax.algorithms._spec import AlgorithmParts
from metaflax.algorithms._table import ALGORITHMS
from metaflax.config._algorithm_settings import AlgorithmConfig
from metaflax.config._model_family import model_family
from metaflax.config._settings import Config
from metaflax.heads._table import HEADS
from metaflax.tasks._forms import ONE_SEQUENCE
from metaflax.tasks._masked_words import masked_words
from metaflax.tasks._templates import BUILT_IN, read_template
from metaflax.tasks._viterbi import AbstractTransitions


def _transitions(numbers: Sequence[float]) -> AbstractTransitions | None:
    """Builds abstract transition probabilities of entity tags from seven numbers."""
    if not numbers:
        return None
    if len(numbers) != 7:
        raise ValueError(
            f"transitions are {len(numbers)} numbers; give two for the first word, two"
            " for words after none and three for words in an entity, or nothing."
        )
    return AbstractTransitions(*np.split(np.array(numbers), [2, 4]))


def _of_classes(factory: Callable[..., tasks.TaskType]):
    return lambda config: factory(
        label_smoothing=config.algorithm.label_smoothing,
        class_weights=config.algorithm.class_weights,
    )


def _of_texts(factory: Callable[..., tasks.TaskType]):
    return lambda config: factory(label_smoothing=config.algorithm.label_smoothing)


TASKS: dict[str, Callable[[Config], tasks.TaskType]] = {
    "classification": _of_classes(tasks.classification),
    "multilabel_classification": _of_classes(tasks.multilabel_classification),
    "pair_classification": _of_classes(tasks.pair_classification),
    "regression": lambda config: tasks.regression(),
    "entities": lambda config: _of_classes(
        functools.partial(
            tasks.entities,
            tagging=config.data.tagging,
            transitions=_transitions(config.algorithm.transitions),
            typing=config.algorithm.entity_typing,
            threshold=config.algorithm.entity_threshold,
            capitals=config.model.capitals,
        )
    )(config),
    "relations": lambda config: _of_classes(
        functools.partial(
            tasks.relations,
            none=config.episodes.none_rate > 0,
            none_logit=config.algorithm.none_logit,
        )
    )(config),
    "question_answering": lambda config: tasks.question_answering(
        null_threshold=config.algorithm.null_threshold
    ),
    "translation": _of_texts(tasks.translation),
    "summarization": _of_texts(tasks.summarization),
    "dialogue": _of_texts(tasks.dialogue),
    "language_modelling": _of_texts(tasks.language_modelling),
    "multiple_choice": lambda config: tasks.multiple_choice(),
    "smlmt": _of_classes(masked_words),
}


def build_task(config: Config) -> tasks.TaskType:
    """Builds the task type of a config, with its form and metric for selection.

    Args:
      config: settings of a run, of which `data.task` names the task type.

    Returns:
      The task type.

    Raises:
      ValueError: for an unknown task type or metric, or a pair encoding of single
        texts.

    Examples:
      >>> from metaflax import config
      >>> data = config.DataConfig(path="pairs.csv", task="pair_classification")
      >>> task = config.build_task(config.Config(data=data))
      >>> task.form.required, task.scores
      (('text', 'text_pair'), ('accuracy',))
    """
    task = _registry.resolve("task", TASKS, config.data.task)(config)
    encoding = config.model.pair_encoding or ONE_SEQUENCE
    task = task._replace(form=task.form.encoded_as(encoding))
    if (template := template_for(config)) is not None:
        task = task.written(template)
    select_by = config.training.select_by
    if select_by is None:
        return task
    if ":" in select_by:
        metric = _registry.resolve("metric", {}, select_by)
        select_by = select_by.rpartition(":")[2].rpartition(".")[2]
        task = task._replace(metrics={**task.metrics, select_by: metric})
    generated = task.texts.scores if task.texts else ()
    known = [name for name in task.scores if name not in generated]
    if select_by not in known:
        raise ValueError(
            f"unknown metric {select_by!r} of the task type {config.data.task!r};"
            f" known: {', '.join(known)}, or an import path such as"
            " package.module:attribute."
        )
    return task._replace(select_by=select_by)


def template_for(config: Config) -> tasks.Template | None:
    """Returns the template of a config; None for none.

    Raises:
      ValueError: if it names an unknown template.
    """
    name = config.data.template
    if name is not None:
        return None if name == "none" else read_template(name)
    if config.data.task not in BUILT_IN:
        return None
    in_context = resolve_algorithm(config.algorithm.name).in_context
    if not in_context and not _writes_by_default(config):
        return None
    return read_template(config.data.task)


def with_template(config: Config) -> Config:
    """Names the template that follows from the kind of the model, or `none`.

    So a loaded run keeps its template, even where its model cannot be found.
    """
    task = _registry.resolve("task", TASKS, config.data.task)(config)
    if config.data.template is not None or not task.written_by_default:
        return config
    name = "none" if template_for(config) is None else config.data.task
    return dataclasses.replace(
        config, data=dataclasses.replace(config.data, template=name)
    )


def _writes_by_default(config: Config) -> bool:
    """Returns whether the model is generative and its task type takes a template."""
    task = _registry.resolve("task", TASKS, config.data.task)(config)
    return task.written_by_default and model_family(config.model).generative


def build_algorithm(
    config: AlgorithmConfig,
    encoder: Any,
    init_fn: base.InitFn,
    task: tasks.TaskType,
    num_classes: int,
    *,
    num_steps: int | None = None,
) -> base.MetaAlgorithm:
    """Builds the algorithm of a config on an encoder.

    Args:
      config: settings of the algorithm.
      encoder: a `models.Encoder`.
      init_fn: function that returns the encoder's parameters, usually pretrained.
      task: task type, which defines the loss.
      num_classes: N, the largest number of classes of an episode.
      num_steps: number of inner steps (default: the config's).

    Returns:
      The algorithm.

    Raises:
      ValueError: for an unknown name, a head that does not fit the task type,
        or a micro-batch size below 1.
    """
    spec = resolve_algorithm(config.name)
    head = task.complete(build_head(config, encoder.num_features, task, num_classes))
    if task.is_generative and not spec.adapts_generative:
        raise ValueError(
            f"{config.name} is for encoders below a head: a generative model has its"
            " own output layer, and no context. Take maml, fomaml or reptile,"
            " with `adapts` for parts of the model, such as encoder/decoder/head or"
            " encoder/decoder/layer_1."
        )
    if config.learned_rates and not spec.may_learn_rates:
        able = (name for name, s in ALGORITHMS.items() if s.may_learn_rates)
        raise ValueError(
            f"learned_rates is {config.learned_rates!r}, which {config.name} does not"
            f" use; leave it out, or take {', '.join(able)}."
        )
    encode_fn = encoder.apply
    if config.micro_batch_size is not None:
        encode_fn = algorithms.micro_batched(encode_fn, config.micro_batch_size)
    parts = algorithm_parts(config, encode_fn, init_fn, task, head)
    if num_steps is not None:
        parts = parts._replace(num_steps=num_steps)
    return spec.build(parts)


def algorithm_parts(
    config: AlgorithmConfig,
    encode_fn: base.ApplyFn,
    init_fn: base.InitFn,
    task: tasks.TaskType,
    head: base.Head,
) -> AlgorithmParts:
    """Makes the parts from which the spec of an algorithm builds it.

    Args:
      config: settings of the algorithm.
      encode_fn: inputs `[U, ...]` to features `[U, D]`.
      init_fn: function that returns the encoder's parameters.
      task: task type, which defines the loss.
      head: the output layer.
    """
    return AlgorithmParts(
        encode_fn=encode_fn,
        loss_fn=task.loss,
        init_fn=init_fn,
        inner_optimizer=_inner_optimizer(config),
        head=head,
        adapts=list(config.adapts),
        num_steps=config.num_steps,
        learning_rate=config.inner_learning_rate,
        proximal=config.proximal,
    )


def resolve_algorithm(name: str) -> algorithms.AlgorithmSpec:
    """Looks up the spec of an algorithm by name or import path.

    Raises:
      ValueError: for an unknown name.
    """
    return _registry.resolve("algorithm", ALGORITHMS, name)


def build_head(
    config: AlgorithmConfig, num_features: int, task: tasks.TaskType, num_classes: int
) -> base.Head:
    """Builds the head of a config, or the default of its algorithm and target kind.

    Args:
      config: settings of the algorithm.
      num_features: D, the number of features of the encoder.
      task: task type, whose targets the head must fit.
      num_classes: N, the largest number of classes of an episode.

    Raises:
      ValueError: for an unknown name, or a head that does not fit the task type.
    """
    if task.template is not None:
        if config.head is not None:
            raise ValueError(
                f"the head is {config.head!r}, and a generative model compares the"
                " likelihoods of choices without a head; leave it out."
            )
        return heads.identity()
    name = head_name(config, task)
    build = _registry.resolve("head", HEADS, name)
    head = build(num_features, task.head_size(num_classes), config)
    task.check_head(name, head)
    if head.takes_unlabelled:
        _check_unlabelled(config, name, task)
    return head


def head_name(config: AlgorithmConfig, task: tasks.TaskType) -> str:
    """Names the head of a config, or the default of its algorithm and target kind."""
    default = resolve_algorithm(config.name).default_head
    return config.head or target_kinds.of(task).heads.get(default, default)


def _check_unlabelled(config: AlgorithmConfig, name: str, task: tasks.TaskType) -> None:
    """Refuses texts without labels where something else needs labels of all texts."""
    if resolve_algorithm(config.name).has_inner_steps:
        raise ValueError(
            f"the head {name!r} learns from texts without labels, and {config.name}"
            " adapts by inner steps, whose loss needs labels; take frozen or protonet,"
            " or another head."
        )
    if task.tokens is not None or task.others:
        raise ValueError(
            f"the head {name!r} takes a text of no class as one without a label, which"
            " this task type has classes or tokens of; take another head, such as"
            " prototypes."
        )


def _inner_optimizer(
    config: AlgorithmConfig,
) -> optax.GradientTransformation | base.InnerOptimizer:
    factory = _optimizers.by_name(config.inner_optimizer)
    # Adam takes a square root, whose derivative at 0 is NaN in the meta-gradient.
    parameters = inspect.signature(factory).parameters
    safe = {"eps_root": 1e-8} if "eps_root" in parameters else {}
    if config.learned_rates is None:
        return factory(config.inner_learning_rate, **safe)
    # Rate 1 and negated, since `learned_rates` subtracts rate times direction.
    direction = optax.chain(factory(1.0, **safe), optax.scale(-1.0))
    return inner_optimizers.learned_rates(
        config.inner_learning_rate, per=config.learned_rates, optimizer=direction
    )
