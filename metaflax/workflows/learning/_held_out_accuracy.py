"""Accuracy of an output layer in cross-validation on fixed features."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metaflax import base, tasks
from metaflax.config import AlgorithmConfig
from metaflax.config._factories import build_head
from metaflax.data.sources._label_texts import LabelTexts
from metaflax.workflows.learning._support import (
    LEAST_CLASSES,
    LEAST_FEATURES,
    power_of_two,
)
from metaflax.workflows.runs._process import one_blas_thread

MOST_FOLDS = 5


class NamedFeatures(NamedTuple):
    """Features of class names, which are in the training part of every fold.

    Attributes:
      features: `[M, D]`.
      targets: class numbers `[M]`.
      weight: weight of each, relative to a support example's.
    """

    features: np.ndarray
    targets: np.ndarray
    weight: float

    @classmethod
    def of(cls, features: np.ndarray, names: LabelTexts) -> "NamedFeatures":
        """Creates them from the features of the names and the classes of these."""
        return cls(features, np.array(names.classes, np.int32), names.weight)


class FoldedSupport(NamedTuple):
    """A support set in folds, padded so that most sets share compiled programs.

    Names of classes and padding have the fold -1, and padding the weight 0.

    Attributes:
      features: `[P, D]`, of the support set, of names and of padding.
      targets: class numbers `[P]`.
      folds: fold of each example `[P]`.
      weights: weight of each example `[P]`.
      num_examples: number of support examples, the first rows.
    """

    features: np.ndarray
    targets: np.ndarray
    folds: np.ndarray
    weights: np.ndarray
    num_examples: int

    @classmethod
    def of(
        cls,
        features: np.ndarray,
        targets: np.ndarray,
        folds: np.ndarray,
        names: NamedFeatures | None = None,
    ) -> "FoldedSupport":
        """Appends features of class names and padding.

        Args:
          features: `[S, D]` of the support set.
          targets: class numbers `[S]`.
          folds: as of `stratified_folds`.
          names: names of classes (default: none).
        """
        num_examples = len(targets)
        weights = np.ones(num_examples, np.float32)
        if names is not None:
            features = np.concatenate([features, names.features])
            targets = np.concatenate([targets, names.targets])
            name_weights = np.full(len(names.targets), names.weight, np.float32)
            weights = np.concatenate([weights, name_weights])
        size = power_of_two(len(targets), LEAST_FEATURES)
        padding = size - len(targets)
        return cls(
            np.pad(features.astype(np.float32), ((0, padding), (0, 0))),
            np.pad(targets.astype(np.int32), (0, padding)),
            np.pad(
                folds.astype(np.int32), (0, size - num_examples), constant_values=-1
            ),
            np.pad(weights, (0, padding)),
            num_examples,
        )

    def accuracy(self, config: AlgorithmConfig, params: Any = None) -> float:
        """Computes the share of support examples that are right when they are held out.

        Args:
          config: algorithm whose head is fitted to the other folds.
          params: parameters of the head (default: new ones).
        """
        num_classes = power_of_two(int(self.targets.max()) + 1, LEAST_CLASSES)
        correct_of, fresh = _compiled(config, self.features.shape[1], num_classes)
        params = fresh if params is None else params
        arrays = (self.features, self.targets, self.folds, self.weights)
        with one_blas_thread():
            # Of NumPy, since a slice of an array of JAX compiles a program.
            correct = np.asarray(correct_of(*arrays, params))
        return round(float(np.mean(correct[: self.num_examples])), 6)


def stratified_folds(targets: np.ndarray) -> np.ndarray:
    """Assigns examples to folds, cycling through the folds within each class.

    Args:
      targets: class numbers `[S]`.

    Returns:
      The fold of each example, `[S]`, of as many folds as the smallest class has
      examples, at most `MOST_FOLDS`.

    Examples:
      >>> stratified_folds(np.array([0, 0, 1, 1, 1]))
      array([0, 1, 0, 1, 0])
    """
    counts = np.unique(targets, return_counts=True)[1]
    folds = np.zeros(len(targets), int)
    for number in np.unique(targets):
        rows = np.flatnonzero(targets == number)
        folds[rows] = np.arange(len(rows)) % min(int(counts.min()), MOST_FOLDS)
    return folds


@functools.lru_cache(maxsize=32)
def _compiled(config: AlgorithmConfig, num_features: int, num_classes: int):
    """Returns a compiled function, and new parameters of the head for it.

    The function computes which predictions are right when their fold is held out.
    """
    head = build_head(config, num_features, tasks.classification(), num_classes)

    @jax.jit
    def correct_of(features, targets, folds, weights, params):
        def of_fold(fold):
            kept = jnp.where(folds != fold, weights, 0.0)
            state = head.fit(params, features, targets, kept)
            outputs: base.ClassOutputs = head.apply(state, features)
            return jnp.argmax(outputs.logits, axis=-1) == targets  # [P]

        correct = jax.vmap(of_fold)(jnp.arange(MOST_FOLDS))  # [K, P]
        return correct[jnp.maximum(folds, 0), jnp.arange(len(folds))]

    return correct_of, head.init(jax.random.key(0))
