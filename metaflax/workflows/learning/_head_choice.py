"""Choice of an output layer by cross-validation on the support set."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metaflax import base, target_kinds, tasks
from metaflax.config import AlgorithmConfig
from metaflax.config._factories import build_head, resolve_algorithm
from metaflax.data.sources._label_texts import LabelTexts
from metaflax.workflows.runs._process import one_blas_thread

# Value of the setting `head` that requests a choice.
AUTO = "auto"
# Heads beside the default one, with their strengths, which were chosen together with
# the rule on validation classes; see experiments/heads.
CANDIDATES: Mapping[str, Mapping[str, float]] = {
    "gaussian": {"strength": 3.0},
    "centred_logistic_regression": {"strength": 0.1},
}
MOST_FOLDS = 5
# Classes and examples are padded to powers of two from these on, so that most support
# sets share compiled programs.
LEAST_CLASSES, LEAST_EXAMPLES = 8, 16
# Heads for support sets without a text to hold out, the best on validation classes;
# see experiments/heads. The centre of few class means is a poor estimate.
PRIORS: Mapping[str, Mapping[str, float]] = {
    "centred_logistic_regression": {"strength": 1.0},
    "logistic_regression": {"strength": 1.0},
}
LEAST_CENTRED = 10


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
    is_default: bool
    accuracy: Mapping[str, float]
    num_folds: int

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
        fields: Any = {"name": "frozen", "head": self.name, **self.settings}
        return dataclasses.replace(config, **fields)


# The default head, for a task that was learned without a choice.
DEFAULT_HEAD = HeadChoice("", {}, True, {}, 0)


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
    return [HeadChoice(name, settings, False, {}, 0) for name, settings in named]


def check_choosable(config: AlgorithmConfig, task: tasks.TaskType) -> None:
    """Checks that heads of this task and algorithm are fitted to fixed features.

    Raises:
      ValueError: if they are not; the message names the reason.
    """
    if reason := _why_not_choosable(config, task):
        raise ValueError(reason)


def refuse_strength(strength: float | None) -> None:
    """Raises ValueError for a strength beside the head auto, which chooses its own."""
    if strength is None:
        return
    raise ValueError(
        f"strength is {strength}, which the head {AUTO!r} chooses as well; leave it"
        " out, or name a head."
    )


def chooses_head_by_default(config: AlgorithmConfig, task: tasks.TaskType) -> bool:
    """Returns whether a head is chosen by default: on a frozen pretrained encoder.

    With a temperature or a strength, which belong to the default head, none is chosen.

    Examples:
      >>> chooses_head_by_default(AlgorithmConfig("frozen"), tasks.classification())
      True
      >>> ridge = AlgorithmConfig("frozen", head="ridge")
      >>> chooses_head_by_default(ridge, tasks.classification())
      False
    """
    untouched = AlgorithmConfig("frozen")
    as_it_is = (config.head, config.temperature, config.strength) == (
        untouched.head,
        untouched.temperature,
        untouched.strength,
    )
    frozen = config.name == untouched.name and task.template is None
    return frozen and as_it_is and not _why_not_choosable(config, task)


def _why_not_choosable(config: AlgorithmConfig, task: tasks.TaskType) -> str:
    kind = target_kinds.of(task)
    if not kind.single_label or task.tokens is not None or task.others:
        noun = "several classes a text" if kind.noun == "classes" else kind.noun
        if task.others:
            noun = f"{task.others[0]} beside the classes"
        if task.tokens is not None:
            noun = "targets of tokens"
        return (
            f"the head {AUTO!r} chooses among heads of one class a text, and this task"
            f" type predicts {noun}; name a head, or leave it out."
        )
    if resolve_algorithm(config.name).has_inner_steps:
        return (
            f"the head {AUTO!r} is chosen on features that do not adapt, and"
            f" {config.name} adapts by inner steps; take another algorithm or leave the"
            " head out."
        )
    return ""


def choosable_default(
    config: AlgorithmConfig, num_features: int, task: tasks.TaskType
) -> AlgorithmConfig:
    """Returns the config of the default head of a choice.

    Class means replace a head that is not linear, or that needs texts without labels.

    Examples:
      >>> matching = AlgorithmConfig("matching")
      >>> choosable_default(matching, 4, tasks.classification()).head
      'prototypes'
    """
    head = build_head(config, num_features, task, LEAST_CLASSES)
    if head.is_linear and not head.takes_unlabelled:
        return config
    return dataclasses.replace(config, name="frozen", head="prototypes")


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
    num_features, num_classes = features.shape[1], int(targets.max()) + 1
    used = choosable_default(config, num_features, task)
    serves, config = used == config, used
    if not serves:
        head_params = None
    default = config.head or resolve_algorithm(config.name).default_head
    folds = stratified_folds(targets)
    if (num_folds := int(folds.max()) + 1) < 2:
        name = prior_head(np.unique(targets, return_counts=True)[1]) or default
        settings = {} if name == default else PRIORS[name]
        return HeadChoice(name, settings, serves and name == default, {}, 0)
    configs = {default: config}
    for name, settings in CANDIDATES.items():
        fields: Any = {"name": "frozen", "head": name, **settings}
        configs.setdefault(name, dataclasses.replace(config, **fields))
    padded, accuracy = _padded(features, targets, folds, names), {}
    for name, tried in configs.items():
        score = _compiled(
            tried, num_features, _power_of_two(num_classes, LEAST_CLASSES)
        )
        with one_blas_thread():
            correct = score(*padded, head_params if name == default else None)
        accuracy[name] = round(float(np.mean(correct[: len(targets)])), 6)
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


def _padded(
    features: np.ndarray,
    targets: np.ndarray,
    folds: np.ndarray,
    names: NamedFeatures | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Appends features of class names and padding, both with fold -1.

    Returns:
      Features, targets, folds and weights; the weight of padding is 0.
    """
    weights = np.ones(len(targets), np.float32)
    if names is not None:
        features = np.concatenate([features, names.features])
        targets = np.concatenate([targets, names.targets])
        name_weights = np.full(len(names.targets), names.weight, np.float32)
        weights = np.concatenate([weights, name_weights])
    size = _power_of_two(len(targets), LEAST_EXAMPLES)
    return (
        np.pad(features.astype(np.float32), ((0, size - len(targets)), (0, 0))),
        np.pad(targets.astype(np.int32), (0, size - len(targets))),
        np.pad(folds.astype(np.int32), (0, size - len(folds)), constant_values=-1),
        np.pad(weights, (0, size - len(targets))),
    )


@functools.lru_cache(maxsize=32)
def _compiled(config: AlgorithmConfig, num_features: int, num_classes: int):
    """Makes a function that scores the held-out predictions of a head."""
    head = build_head(config, num_features, tasks.classification(), num_classes)
    fresh = head.init(jax.random.key(0))

    @jax.jit
    def held_out(features, targets, folds, weights, params):
        def of_fold(fold):
            kept = jnp.where(folds != fold, weights, 0.0)
            state = head.fit(params, features, targets, kept)
            outputs: base.ClassOutputs = head.apply(state, features)
            return jnp.argmax(outputs.logits, axis=-1) == targets  # [S]

        correct = jax.vmap(of_fold)(jnp.arange(MOST_FOLDS))  # [K, S]
        return correct[jnp.maximum(folds, 0), jnp.arange(len(folds))]

    def score(features, targets, folds, weights, params) -> np.ndarray:
        params = fresh if params is None else params
        return np.asarray(held_out(features, targets, folds, weights, params))

    return score


def _power_of_two(number: int, least: int) -> int:
    size = least
    while size < number:
        size *= 2
    return size
