"""Specifications of named algorithms: factories and capabilities."""

from collections.abc import Callable
from typing import Any, NamedTuple

import optax

from metaflax import base, tree


class AlgorithmParts(NamedTuple):
    """Parts of an algorithm that a config defines.

    Attributes:
      encode_fn: inputs `[U, ...]` to features `[U, D]`.
      loss_fn: `loss_fn(outputs, targets, weights)`.
      init_fn: function that returns the encoder's initial parameters.
      inner_optimizer: optimizer of the inner loop.
      head: the output layer.
      adapts: parameters that the inner steps change.
      num_steps: number of inner steps K.
      learning_rate: learning rate of the inner optimizer.
      proximal: weight of a proximal term.

    Examples:
      >>> from metaflax import algorithms
      >>> def zero_shot(parts: algorithms.AlgorithmParts):
      ...     return algorithms.compose(
      ...         parts.encode_fn,
      ...         parts.loss_fn,
      ...         parts.init_fn,
      ...         head=parts.head,
      ...         inner_optimizer=parts.inner_optimizer,
      ...         num_steps=0,
      ...     )
      >>> algorithms.AlgorithmSpec(zero_shot, is_baseline=True).is_baseline
      True
    """

    encode_fn: base.ApplyFn
    loss_fn: base.LossFn
    init_fn: base.InitFn
    inner_optimizer: optax.GradientTransformation | base.InnerOptimizer
    head: base.Head
    adapts: tree.Where
    num_steps: int
    learning_rate: float
    proximal: float


class AlgorithmSpec(NamedTuple):
    """Factory and capabilities of a named algorithm.

    Attributes:
      build: `algorithm = build(parts)`.
      default_head: name of its head, for targets that are classes.
      has_inner_steps: whether it takes gradient steps on the support set.
      is_baseline: whether it has no meta-gradient, so that it is not meta-trained.
      adapts_generative: whether it can adapt a generative model, whose output layer is
        within the network.
      may_learn_rates: whether `parts.inner_optimizer` may have learned rates.
      in_context: whether it conditions a generative model on the support set, whose
        examples a template then writes.

    Examples:
      >>> import optax
      >>> import metaflax
      >>> from metaflax import algorithms
      >>> def build(parts):
      ...     return metaflax.maml(
      ...         parts.encode_fn,
      ...         parts.loss_fn,
      ...         parts.init_fn,
      ...         optax.chain(optax.clip(1.0), parts.inner_optimizer),
      ...         head=parts.head,
      ...         num_steps=parts.num_steps,
      ...     )
      >>> CLIPPED_MAML = algorithms.AlgorithmSpec(build)
      >>> # In a file `mine.py`, it is trained by `--algorithm mine:CLIPPED_MAML`.
      >>> CLIPPED_MAML.default_head, CLIPPED_MAML.has_inner_steps
      ('linear', True)
    """

    build: Callable[[AlgorithmParts], base.MetaAlgorithm]
    default_head: str = "linear"
    has_inner_steps: bool = True
    is_baseline: bool = False
    adapts_generative: bool = True
    may_learn_rates: bool = False
    in_context: bool = False


Build = Callable[[AlgorithmParts], base.MetaAlgorithm]


def with_inner_optimizer(
    factory: Callable[..., base.MetaAlgorithm], **options: Any
) -> Build:
    """Builds an algorithm that takes an inner optimizer."""
    return lambda parts: factory(
        parts.encode_fn,
        parts.loss_fn,
        parts.init_fn,
        parts.inner_optimizer,
        head=parts.head,
        adapts=parts.adapts,
        num_steps=parts.num_steps,
        **options,
    )


def with_learning_rate(
    factory: Callable[..., base.MetaAlgorithm], **options: Any
) -> Build:
    """Builds an algorithm that learns its inner optimizer from one learning rate."""
    return lambda parts: factory(
        parts.encode_fn,
        parts.loss_fn,
        parts.init_fn,
        learning_rate=parts.learning_rate,
        head=parts.head,
        adapts=parts.adapts,
        num_steps=parts.num_steps,
        **options,
    )


def in_closed_form(factory: Callable[..., base.MetaAlgorithm]) -> Build:
    """Builds an algorithm without inner steps."""
    return lambda parts: factory(
        parts.encode_fn, parts.loss_fn, parts.init_fn, head=parts.head
    )
