"""Text classification, single-label and multi-label."""

import functools
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import scipy.special

from metaflax import base, losses, metrics
from metaflax.tasks._base import TaskType, several_labels_of


def classification(
    *,
    label_smoothing: float = 0.0,
    class_weights: Literal["equal", "balanced"] = "equal",
) -> TaskType:
    """Single-label classification of texts, binary or of many classes.

    Args:
      label_smoothing: the share of a target spread over all present classes.
      class_weights: `balanced` makes every class count alike, however many examples
        each has in the batch at hand.

    Returns:
      A `TaskType` whose targets are class numbers `[U]`.

    Raises:
      ValueError: for a smoothing outside [0, 1) or unknown class weights.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax import base, tasks
      >>> task = tasks.classification()
      >>> logits = jnp.array([[2.0, 0.0], [0.0, 1.0]])
      >>> outputs = base.ClassOutputs(logits, jnp.array([True, True]))
      >>> [row["label"] for row in task.decode(outputs, ["dog", "cat"])]
      ['dog', 'cat']
    """
    _check(label_smoothing, class_weights)
    smoothed = functools.partial(
        losses.softmax_cross_entropy, label_smoothing=label_smoothing
    )

    def balanced(outputs, targets, weights):
        num_classes = outputs.logits.shape[-1]
        by_class = losses.balanced_class_weights(targets, weights, num_classes)
        return smoothed(outputs, targets, weights, class_weights=by_class)

    return TaskType(
        kind="classes",
        loss=balanced if class_weights == "balanced" else smoothed,
        metrics={"accuracy": metrics.accuracy},
        decode=decode_classes,
        variants=True,
        on_disk=True,
    )


def multilabel_classification(
    *,
    label_smoothing: float = 0.0,
    class_weights: Literal["equal", "balanced"] = "equal",
) -> TaskType:
    """Multi-label classification of texts.

    Args:
      label_smoothing: moves targets this share of the way to one half.
      class_weights: `balanced` makes rare labels count as much as common ones.

    Returns:
      A `TaskType` whose targets are 0 and 1, `[U, N]`.

    Raises:
      ValueError: for a smoothing outside [0, 1) or unknown class weights.

    Examples:
      >>> import jax.numpy as jnp
      >>> from metaflax import base, tasks
      >>> task = tasks.multilabel_classification()
      >>> logits = jnp.array([[2.0, 1.0], [-1.0, -1.0]])
      >>> outputs = base.ClassOutputs(logits, jnp.array([True, True]))
      >>> [row["labels"] for row in task.decode(outputs, ["loud", "small"])]
      [['loud', 'small'], []]
    """
    _check(label_smoothing, class_weights)
    smoothed = functools.partial(
        losses.sigmoid_cross_entropy, label_smoothing=label_smoothing
    )

    def balanced(outputs, targets, weights):
        by_label = losses.balanced_label_weights(targets, weights)
        return smoothed(outputs, targets, weights, class_weights=by_label)

    return TaskType(
        kind="labels",
        loss=balanced if class_weights == "balanced" else smoothed,
        metrics={"micro_f1": metrics.micro_f1},
        decode=decode_labels,
        gold_label=several_labels_of,
        variants=True,
    )


def decode_classes(
    outputs: base.ClassOutputs, names: Sequence[str]
) -> list[dict[str, Any]]:
    """Returns the most probable class of each text, with all probabilities.

    Examples:
      >>> logits, mask = np.array([[0.0, 0.0, -1e9]]), np.array([True, True, False])
      >>> decode_classes(base.ClassOutputs(logits, mask), ["no", "yes"])
      [{'label': 'no', 'probabilities': {'no': 0.5, 'yes': 0.5}}]
    """
    probabilities = metrics.softened(outputs.logits)
    best = probabilities[:, : len(names)].argmax(axis=-1)
    return [
        {"label": names[n], "probabilities": _by_name(names, row)}
        for n, row in zip(best, probabilities, strict=True)
    ]


def decode_labels(
    outputs: base.ClassOutputs, names: Sequence[str]
) -> list[dict[str, Any]]:
    """Returns the labels of each text above one half, with all probabilities."""
    probabilities = scipy.special.expit(np.asarray(outputs.logits))
    return [
        {
            "labels": [name for name, p in zip(names, row, strict=False) if p > 0.5],
            "probabilities": _by_name(names, row),
        }
        for row in probabilities
    ]


def _by_name(names: Sequence[str], row: np.ndarray) -> dict[str, float]:
    return {name: round(float(p), 6) for name, p in zip(names, row, strict=False)}


def _check(label_smoothing: float, class_weights: str) -> None:
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"label_smoothing is in [0, 1), got {label_smoothing}.")
    if class_weights not in ("equal", "balanced"):
        raise ValueError(
            f"class_weights is 'equal' or 'balanced', got {class_weights!r}."
        )
