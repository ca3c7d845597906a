"""Choice of an output layer by cross-validation on the support set."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from metaflax import tasks
from metaflax.config import AlgorithmConfig
from metaflax.config._factories import resolve_algorithm
from metaflax.workflows.learning._choosable_heads import (
    check_choosable,
    choosable_default,
)
from metaflax.workflows.learning._held_out_accuracy import (
    FoldedSupport,
    NamedFeatures,
    stratified_folds,
)

# Heads beside the default one, with their strengths, which were chosen together with
# the rule on validation classes; see experiments/heads.
CANDIDATES: Mapping[str, Mapping[str, float]] = {
    "gaussian": {"strength": 3.0},
    "centred_logistic_regression": {"strength": 0.1},
}
# Heads for support sets without a text to hold out, the best on validation classes;
# see experiments/heads. The centre of few class means is a poor estimate.
PRIORS: Mapping[str, Mapping[str, float]] = {
    "centred_logistic_regression": {"strength": 1.0},
    "logistic_regression": {"strength": 1.0},
}
LEAST_CENTRED = 10


class HeadChoice(NamedTuple):
    """Choice of an output layer.

    Attributes:
      name: name of the head.
      settings: its settings; empty for the default head.
      is_default: whether it is the head that is used without a choice.
      accuracy: cross-validation accuracy of each head; empty if none was possible.
      num_folds: number of folds.
    """

    name: str
    settings: Mapping[str, float]
    is_default: bool = False
    accuracy: Mapping[str, float] = {}
    num_folds: int = 0

    def __str__(self) -> str:
        if not self.accuracy:
            return (
                f"head {self.name}, by the numbers of texts: a class has one, which"
                " leaves none to compare heads on"
            )
        scores = ", ".join(f"{n} {100 * a:.1f} %" for n, a in self.accuracy.items())
        return (
            f"head {self.name}, by accuracy in {self.num_folds}-fold cross-validation"
            f" on the support set: {scores}"
        )

    def record(self) -> dict[str, Any]:
        """Returns the choice as JSON."""
        return {
            "name": self.name,
            "settings": dict(self.settings),
            "accuracy": dict(self.accuracy),
            "folds": self.num_folds,
        }

    def applied(self, config: AlgorithmConfig) -> AlgorithmConfig:
        """Returns a config with the chosen head on a frozen encoder."""
        if self.is_default:
            return config
        return _frozen_with(config, self.name, self.settings)


# The default head, for a task that was learned without a choice.
DEFAULT_HEAD = HeadChoice("", {}, is_default=True)


def possible_choices(num_classes: int) -> list[HeadChoice]:
    """Lists the heads beside the default one that may be chosen, without accuracies.

    Args:
      num_classes: number of classes of a task.

    Examples:
      >>> [choice.name for choice in possible_choices(8)]
      ['gaussian', 'centred_logistic_regression', 'logistic_regression']
    """
    named = [*CANDIDATES.items()]
    # For a class of one text beside classes of several.
    if prior := prior_head(np.arange(1, num_classes + 1)):
        named.append((prior, PRIORS[prior]))
    return [HeadChoice(name, settings) for name, settings in named]


def choose_head(
    features: np.ndarray,
    targets: np.ndarray,
    config: AlgorithmConfig,
    task: tasks.TaskType,
    head_params: Any = None,
    names: NamedFeatures | None = None,
) -> HeadChoice:
    """Chooses the head with the highest accuracy in stratified cross-validation.

    Candidates are the default head, first, and `CANDIDATES`; where accuracies are
    equal, the first is taken. There are as many folds as the smallest class has texts,
    at most `MOST_FOLDS`. With one text in a class the choice depends on the numbers of
    classes and texts: logistic regression, on centred features from `LEAST_CENTRED`
    classes on; the default head for fewer classes of one text each, where heads hardly
    differ.

    Args:
      features: `[S, D]` of the support set.
      targets: class numbers `[S]`.
      config: algorithm whose head is the default, see `choosable_default`.
      task: task type of one class a text.
      head_params: parameters of the default head (default: new ones).
      names: names of classes (default: none).

    Returns:
      The choice. It is deterministic.

    Raises:
      ValueError: as `check_choosable`.

    Examples:
      >>> features = np.array([[0.0, 9.0], [0.1, -9.0], [1.0, 8.0], [1.1, -8.0]])
      >>> targets = np.array([0, 0, 1, 1])
      >>> config = AlgorithmConfig("frozen")
      >>> choose_head(features, targets, config, tasks.classification()).num_folds
      2
    """
    check_choosable(config, task)
    used = choosable_default(config, features.shape[1], task)
    serves, config = used == config, used
    if not serves:
        head_params = None
    default = config.head or resolve_algorithm(config.name).default_head
    folds = stratified_folds(targets)
    if (num_folds := int(folds.max()) + 1) < 2:
        name = prior_head(np.unique(targets, return_counts=True)[1]) or default
        settings = {} if name == default else PRIORS[name]
        return HeadChoice(name, settings, is_default=serves and name == default)
    configs = {default: config}
    for name, settings in CANDIDATES.items():
        configs.setdefault(name, _frozen_with(config, name, settings))
    folded = FoldedSupport.of(features, targets, folds, names)
    accuracy = {
        name: folded.accuracy(tried, head_params if name == default else None)
        for name, tried in configs.items()
    }
    best = max(accuracy, key=lambda name: accuracy[name])  # The first in a tie.
    settings = {} if best == default else CANDIDATES[best]
    is_default = serves and best == default
    return HeadChoice(best, settings, is_default, accuracy, num_folds)


def prior_head(counts: np.ndarray) -> str | None:
    """Returns the head of `PRIORS` for classes with these numbers of texts.

    Args:
      counts: number of texts of each class.

    Returns:
      Its name; None for few classes with a text each.

    Examples:
      >>> prior_head(np.array([1, 1, 1])), prior_head(np.array([1, 1, 5]))
      (None, 'logistic_regression')
      >>> prior_head(np.ones(LEAST_CENTRED, int))
      'centred_logistic_regression'
    """
    centred, plain = PRIORS
    if len(counts) >= LEAST_CENTRED:
        return centred
    return plain if np.ptp(counts) else None


def _frozen_with(
    config: AlgorithmConfig, head: str, settings: Mapping[str, float]
) -> AlgorithmConfig:
    """Returns a config with this head on a frozen encoder."""
    fields: Any = {"name": "frozen", "head": head, **settings}
    return dataclasses.replace(config, **fields)
