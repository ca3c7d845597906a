"""Adaptation, prediction and scores of tasks as separate programs.

Queries are predicted separately from adaptation in batches with shapes of their own, so
that any number of them fits into memory.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from metaflax import base


class Stages(NamedTuple):
    """Jitted functions, each compiled once per shape.

    Attributes:
      adapt: `adapted = adapt(params, support)`, leaves `[T, ...]` of support sets
        `[T, S, ...]`.
      predict: `outputs = predict(params, adapted, inputs)`, `[T, U, ...]`.
      score: `metrics = score(outputs, targets, weights)` of the queries of one task.
    """

    adapt: Callable[[Any, base.Batch], Any]
    predict: Callable[[Any, Any, Any], Any]
    score: Callable[[Any, Any, Any], dict[str, jax.Array]]


def stages(
    algorithm: base.MetaAlgorithm,
    loss_fn: base.LossFn,
    metrics: Mapping[str, Callable[..., jax.Array]],
) -> Stages:
    """Builds the stages of `evaluation.scorer`, with the same arguments."""
    named = {"loss": loss_fn, **metrics}

    def adapt(params, support):
        return over_tasks(lambda part: algorithm.adapt(params, part, None)[0], support)

    def predict(params, adapted, inputs):
        return over_tasks(
            lambda task: algorithm.predict(params, task[0], task[1], None),
            (adapted, inputs),
        )

    def score(outputs, targets, weights):
        return {name: fn(outputs, targets, weights) for name, fn in named.items()}

    return Stages(jax.jit(adapt), jax.jit(predict), jax.jit(score))


def rows_of_outputs(
    algorithm: base.MetaAlgorithm, params: Any, adapted: Any, inputs: Any
) -> list[bool]:
    """Returns which leaves of predictions have an axis of queries.

    Others, such as the mask of classes, are the same for all batches of queries.

    Args:
      algorithm: algorithm that predicts.
      params: meta-parameters, or their shapes.
      adapted: adapted parameters, or their shapes.
      inputs: inputs, leaves `[U, ...]`.
    """

    def shapes(num: int) -> list[tuple[int, ...]]:
        few = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct((num, *x.shape[1:]), x.dtype), inputs
        )
        outputs = jax.eval_shape(algorithm.predict, params, adapted, few)
        return [leaf.shape for leaf in jax.tree.leaves(outputs)]

    return [one != other for one, other in zip(shapes(2), shapes(3), strict=True)]


def in_order(
    parts: Sequence[Any],
    places: Sequence[np.ndarray],
    num: int,
    has_rows: Sequence[bool],
) -> Any:
    """Joins the predictions of batches of queries in the order of the queries.

    Args:
      parts: predictions of each batch, leaves `[B, ...]` or shared.
      places: `[B]`, the index of each query of a batch; `num` for padding.
      num: Q, number of queries with padding, whose predictions are zero.
      has_rows: whether leaves are `[B, ...]`, see `rows_of_outputs`.

    Returns:
      Predictions of NumPy arrays, leaves `[Q, ...]` or shared.
    """
    leaves, treedefs = zip(*map(jax.tree.flatten, parts), strict=True)
    joined = []
    for has, *of_parts in zip(has_rows, *leaves, strict=True):
        whole = of_parts[0]
        if has:
            whole = np.zeros((num + 1, *whole.shape[1:]), whole.dtype)
            for numbers, part in zip(places, of_parts, strict=True):
                whole[numbers] = part
            whole = whole[:num]
        joined.append(whole)
    return jax.tree.unflatten(treedefs[0], joined)


def over_tasks(fn: Callable[[Any], Any], tasks: Any, task_loop: str = "auto") -> Any:
    """Maps a function over the leading axis: vectorised, or one by one on CPU.

    Args:
      fn: function of one task.
      tasks: leaves `[T, ...]`.
      task_loop: `scan` or `vmap`; `auto` is `scan` on CPU.
    """
    on_cpu = jax.default_backend() == "cpu"
    if task_loop == "vmap" or (task_loop == "auto" and not on_cpu):
        return jax.vmap(fn)(tasks)
    return jax.lax.map(fn, tasks)
