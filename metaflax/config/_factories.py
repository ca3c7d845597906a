"""What the names in a config stand for."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import optax

from metaflax import algorithms, base, heads, inner_optimizers, registry, tasks, tree
from metaflax.config._settings import AlgorithmConfig, Config


class Parts(NamedTuple):
    """What an algorithm is made from; the rate is that of the inner optimizer."""

    encode_fn: base.ApplyFn
    loss_fn: base.LossFn
    init_fn: base.InitFn
    inner_optimizer: optax.GradientTransformation | base.InnerOptimizer
    head: base.Head
    adapts: tree.Where
    num_steps: int
    learning_rate: float
    proximal: float


def _gradient_based(factory: Callable[..., base.MetaAlgorithm]):
    return lambda p: factory(
        p.encode_fn,
        p.loss_fn,
        p.init_fn,
        p.inner_optimizer,
        head=p.head,
        adapts=p.adapts,
        num_steps=p.num_steps,
    )


def _learned(factory: Callable[..., base.MetaAlgorithm], **kwargs: Any):
    """Of those that learn their inner optimizer, from one rate."""
    return lambda p: factory(
        p.encode_fn,
        p.loss_fn,
        p.init_fn,
        learning_rate=p.learning_rate,
        head=p.head,
        adapts=p.adapts,
        num_steps=p.num_steps,
        **kwargs,
    )


def _closed_form(factory: Callable[..., base.MetaAlgorithm]):
    return lambda p: factory(p.encode_fn, p.loss_fn, p.init_fn, head=p.head)


def _imaml(p: Parts) -> base.MetaAlgorithm:
    return _gradient_based(functools.partial(algorithms.imaml, proximal=p.proximal))(p)


def _cavia(p: Parts) -> base.MetaAlgorithm:
    return algorithms.cavia(
        p.encode_fn,
        p.loss_fn,
        p.init_fn,
        p.inner_optimizer,
        context="encoder/embeddings/context/vector",
        head=p.head,
        num_steps=p.num_steps,
    )


ALGORITHMS: dict[str, Callable[[Parts], base.MetaAlgorithm]] = {
    "maml": _gradient_based(algorithms.maml),
    "fomaml": _gradient_based(algorithms.fomaml),
    "reptile": _gradient_based(algorithms.reptile),
    "anil": lambda p: algorithms.anil(
        p.encode_fn,
        p.loss_fn,
        p.init_fn,
        p.inner_optimizer,
        head=p.head,
        num_steps=p.num_steps,
    ),
    "boil": _gradient_based(algorithms.boil),
    "meta_sgd": _learned(algorithms.meta_sgd),
    "maml_plus_plus": _learned(algorithms.maml_plus_plus),
    "meta_curvature": _learned(algorithms.meta_curvature, rank=8),
    "warpgrad": _gradient_based(
        functools.partial(algorithms.warpgrad, warps="encoder/*/adapter")
    ),
    "cavia": _cavia,
    "imaml": _imaml,
    "proto_maml": _gradient_based(algorithms.proto_maml),
    "leopard": _learned(algorithms.leopard),
    "protonet": _closed_form(algorithms.protonet),
    "matching": _closed_form(algorithms.matching),
    "relation": _closed_form(algorithms.relation),
    "ridge": _closed_form(algorithms.ridge),
    "frozen": _closed_form(algorithms.frozen),
    "joint": _gradient_based(algorithms.joint),
    "fine_tuning": _gradient_based(algorithms.fine_tuning),
    "contrastive_fine_tuning": _gradient_based(algorithms.contrastive_fine_tuning),
}

# What has no meta-gradient, and so nothing to meta-train.
BASELINES = ("frozen", "fine_tuning", "contrastive_fine_tuning")

# Whose inner rates may be learned with the rest. Others learn their own, or have no
# gradient for them, or no inner steps.
WITH_LEARNED_RATES = (
    *("maml", "fomaml", "anil", "boil", "proto_maml", "warpgrad", "cavia"),
    *("fine_tuning", "joint"),  # Which take them as they begin.
)

# What cannot adapt a language model: it asks for a head, or a context vector.
WITHOUT_LANGUAGE = ("anil", "cavia", "warpgrad")

# The head of an algorithm of which none is asked for; a linear one otherwise.
OWN_HEADS = {
    "protonet": "prototypes",
    "proto_maml": "prototypes",
    "frozen": "prototypes",
    "matching": "matching",
    "relation": "relation",
    "ridge": "ridge",
    "leopard": "leopard",
    "contrastive_fine_tuning": "logistic_regression",
}

HEADS: dict[str, Callable[..., base.Head]] = {
    "linear": lambda num_features, num_classes, settings: heads.linear(
        num_features, num_classes
    ),
    "prototypes": lambda num_features, num_classes, settings: heads.prototypes(
        num_classes, temperature=settings.temperature
    ),
    "label_prototypes": lambda num_features, num_classes, settings: (
        heads.label_prototypes(num_classes, temperature=settings.temperature)
    ),
    "zeros": lambda num_features, num_classes, settings: heads.zeros(
        num_features, num_classes
    ),
    "cosine_prototypes": lambda num_features, num_classes, settings: (
        heads.cosine_prototypes(num_classes, temperature=settings.temperature)
    ),
    "matching": lambda num_features, num_classes, settings: heads.matching(
        num_classes, temperature=settings.temperature
    ),
    "nearest": lambda num_features, num_classes, settings: heads.nearest(
        num_classes, temperature=settings.temperature
    ),
    "relation": lambda num_features, num_classes, settings: heads.relation(
        num_features, num_classes
    ),
    "ridge": lambda num_features, num_classes, settings: heads.ridge(
        num_classes, strength=settings.strength
    ),
    "logistic_regression": lambda num_features, num_classes, settings: (
        heads.logistic_regression(num_classes, strength=settings.strength)
    ),
    "leopard": lambda num_features, num_classes, settings: heads.leopard(
        num_features, num_classes
    ),
    "linear_regression": lambda num_features, num_classes, settings: (
        heads.linear_regression(num_features)
    ),
    "ridge_regression": lambda num_features, num_classes, settings: (
        heads.ridge_regression(strength=settings.strength)
    ),
    "span": lambda num_features, num_classes, settings: heads.span(num_features),
    "identity": lambda num_features, num_classes, settings: heads.identity(),
}

# What an algorithm's own head is for other targets than classes.
COUNTERPARTS = {
    ("prototypes", "labels"): "label_prototypes",
    ("linear", "numbers"): "linear_regression",
    ("ridge", "numbers"): "ridge_regression",
    # Numbers have no means of classes; the other head in closed form takes their part.
    ("prototypes", "numbers"): "ridge_regression",
    ("linear", "spans"): "span",
    ("linear", "texts"): "identity",
}


def _transitions(numbers: Sequence[float]) -> tasks.AbstractTransitions | None:
    """How entities begin, go on and end, from seven probabilities in a row."""
    if not numbers:
        return None
    if len(numbers) != 7:
        raise ValueError(
            f"transitions are {len(numbers)} numbers; give two for the first word, two"
            " for words after none and three for words in an entity, or nothing."
        )
    return tasks.AbstractTransitions(*np.split(np.array(numbers), [2, 4]))


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
    "smlmt": _of_classes(tasks.masked_words),
}


def build_task(config: Config) -> tasks.TaskType:
    """The task type a config names."""
    return registry.resolve("task", TASKS, config.data.task)(config)


def build_algorithm(
    config: AlgorithmConfig,
    encoder: Any,
    init_fn: base.InitFn,
    task: tasks.TaskType,
    num_classes: int,
    *,
    num_steps: int | None = None,
) -> base.MetaAlgorithm:
    """The algorithm a config names, on an encoder.

    Args:
      config: names and numbers.
      encoder: a `models.Encoder`.
      init_fn: the encoder's parameters, pretrained as a rule.
      task: gives the loss.
      num_classes: N, the most classes of an episode.
      num_steps: inner steps, where they differ from the config's.

    Returns:
      The algorithm.

    Raises:
      ValueError: for an unknown name, a head that does not serve the task, or
        micro-batches of no example.
    """
    make = registry.resolve("algorithm", ALGORITHMS, config.name)
    head_name = config.head or _default_head(config.name, task)
    size = task.head_size(num_classes)
    head = registry.resolve("head", HEADS, head_name)(
        encoder.num_features, size, config
    )
    task.check_head(head_name, head)
    if task.texts is not None and config.name in WITHOUT_LANGUAGE:
        raise ValueError(
            f"{config.name} is for encoders below a head: a language model has its"
            " output layer within it, and no context. Take maml, fomaml or reptile,"
            " with `adapts` for parts of it, such as encoder/decoder/head or"
            " encoder/decoder/layer_1."
        )
    if config.learned_rates and config.name not in WITH_LEARNED_RATES:
        raise ValueError(
            f"learned_rates is {config.learned_rates!r}, which {config.name} has"
            f" no use for; leave it out, or take {', '.join(WITH_LEARNED_RATES)}."
        )
    head = task.complete(head)
    encode_fn = encoder.apply
    if config.micro_batch_size is not None:
        encode_fn = algorithms.micro_batched(encode_fn, config.micro_batch_size)
    return make(
        Parts(
            encode_fn=encode_fn,
            loss_fn=task.loss,
            init_fn=init_fn,
            inner_optimizer=_inner_optimizer(config),
            head=head,
            adapts=list(config.adapts),
            num_steps=config.num_steps if num_steps is None else num_steps,
            learning_rate=config.inner_learning_rate,
            proximal=config.proximal,
        )
    )


def _inner_optimizer(
    config: AlgorithmConfig,
) -> optax.GradientTransformation | base.InnerOptimizer:
    factory = getattr(optax, config.inner_optimizer, None)
    if factory is None:
        raise ValueError(f"optax has no optimizer {config.inner_optimizer!r}.")
    # Adam's root of zero has no derivative: a NaN in the meta-gradient.
    takes = inspect.signature(factory).parameters
    safe = {"eps_root": 1e-8} if "eps_root" in takes else {}
    if config.learned_rates is None:
        return factory(config.inner_learning_rate, **safe)
    # Of rate 1, and the other way round: a learned rate is subtracted.
    direction = optax.chain(factory(1.0, **safe), optax.scale(-1.0))
    return inner_optimizers.learned_rates(
        config.inner_learning_rate, per=config.learned_rates, optimizer=direction
    )


def _default_head(algorithm: str, task: tasks.TaskType) -> str:
    name = OWN_HEADS.get(algorithm, "linear")
    kind = task.tokens.serves if task.tokens else task.kind
    return COUNTERPARTS.get((name, kind), name)
