"""Settings of a hyperparameter search: a base run and a search space."""

import dataclasses
import difflib
import json
import math
import numbers
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from metaflax import _registry
from metaflax.config._check import check
from metaflax.config._factories import resolve_algorithm
from metaflax.config._renamed import current_names
from metaflax.config._settings import Config
from metaflax.config._types import fits, type_name
from metaflax.heads._table import HEADS

# Validation scores are not comparable across values of these settings. Of `data`, only
# the settings of training data can be searched.
FIXED = (
    "episodes.way",
    "episodes.shot",
    "episodes.queries",
    "episodes.none_rate",
    "training.valid_episodes",
    "training.seed",
)
OF_TRAINING_DATA = ("data.variants", "data.variant_rate", "data.more_train")

# Valid ranges of numbers that are narrower than their types.
BOUNDS: dict[str, tuple[float, float]] = {
    "algorithm.inner_learning_rate": (0, math.inf),
    "algorithm.num_steps": (1, math.inf),
    "algorithm.eval_num_steps": (1, math.inf),
    "algorithm.proximal": (0, math.inf),
    "algorithm.temperature": (0, math.inf),
    "algorithm.strength": (0, math.inf),
    "algorithm.label_smoothing": (0, 1),
    "training.learning_rate": (0, math.inf),
    "training.head_learning_rate": (0, math.inf),
    "training.hyper_learning_rate": (0, math.inf),
    "training.weight_decay": (0, math.inf),
    "training.warmup": (0, 1),
    "training.clip_norm": (0, math.inf),
    "data.variant_rate": (0, 1),
}


class Trial(Protocol):
    """Protocol of a trial of optuna, which suggests values."""

    def suggest_float(
        self, name: str, low: float, high: float, *, log: bool = False
    ) -> float:
        """Suggests a number from `low` to `high`."""
        ...

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """Suggests an integer from `low` to `high`, both included."""
        ...

    def suggest_categorical(self, name: str, choices: Sequence[str]) -> str:
        """Suggests one of the choices."""
        ...


@dataclasses.dataclass(frozen=True)
class Uniform:
    """Uniform distribution on numbers from `low` to `high`.

    Examples:
      >>> from metaflax import config
      >>> class Middle:
      ...     def suggest_float(self, name, low, high):
      ...         return (low + high) / 2
      >>> config.Uniform(0.0, 0.5).draw(Middle(), "training.warmup")
      0.25
    """

    low: float
    high: float

    @property
    def ends(self) -> tuple[Any, ...]:
        """Values that represent the range in checks: its ends."""
        return float(self.low), float(self.high)

    def draw(self, trial: Trial, name: str) -> float:
        """Samples a value with a trial."""
        return trial.suggest_float(name, self.low, self.high)


@dataclasses.dataclass(frozen=True)
class LogUniform:
    """Log-uniform distribution on numbers from `low` to `high`, such as rates.

    Examples:
      >>> from metaflax import config
      >>> class Middle:
      ...     def suggest_float(self, name, low, high, log):
      ...         return (low * high) ** 0.5 if log else (low + high) / 2
      >>> rates = config.LogUniform(1e-5, 1e-3)
      >>> print(f"{rates.draw(Middle(), 'training.learning_rate'):.0e}")
      1e-04
    """

    low: float
    high: float

    @property
    def ends(self) -> tuple[Any, ...]:
        """Values that represent the range in checks: its ends."""
        return float(self.low), float(self.high)

    def draw(self, trial: Trial, name: str) -> float:
        """Samples a value with a trial."""
        return trial.suggest_float(name, self.low, self.high, log=True)


@dataclasses.dataclass(frozen=True)
class Integers:
    """Uniform distribution on integers from `low` to `high`, both included.

    Examples:
      >>> from metaflax import config
      >>> class Last:
      ...     def suggest_int(self, name, low, high):
      ...         return high
      >>> config.Integers(1, 10).draw(Last(), "algorithm.num_steps")
      10
    """

    low: int
    high: int

    @property
    def ends(self) -> tuple[Any, ...]:
        """Values that represent the range in checks: its ends."""
        return self.low, self.high

    def draw(self, trial: Trial, name: str) -> int:
        """Samples a value with a trial."""
        return trial.suggest_int(name, self.low, self.high)


@dataclasses.dataclass(frozen=True)
class Choice:
    """Uniform distribution on a tuple of values, of the type of the setting.

    Args:
      values: the values.

    Examples:
      >>> from metaflax import config
      >>> class Last:
      ...     def suggest_categorical(self, name, choices):
      ...         return choices[-1]
      >>> patterns = config.Choice((("*",), ("head", "encoder/layer_5")))
      >>> patterns.draw(Last(), "algorithm.adapts")
      ('head', 'encoder/layer_5')
    """

    values: tuple[Any, ...]

    @property
    def ends(self) -> tuple[Any, ...]:
        """Values that represent the range in checks: all of them."""
        return self.values

    def draw(self, trial: Trial, name: str) -> Any:
        """Samples a value with a trial."""
        known = {_as_json(value): value for value in self.values}
        return known[trial.suggest_categorical(name, list(known))]


def _as_json(value: Any) -> str:
    """Serialises a value as JSON, with NumPy numbers as Python numbers."""
    return json.dumps(value, default=lambda number: number.item())


Range: TypeAlias = Uniform | LogUniform | Integers | Choice


@dataclasses.dataclass(frozen=True)
class SearchConfig:
    """Config of a search for the settings with the best validation score.

    Examples:
      >>> from metaflax.config import Choice, Config, LogUniform, SearchConfig
      >>> search = SearchConfig(
      ...     base=Config(),
      ...     space={
      ...         "training.learning_rate": LogUniform(1e-5, 1e-3),
      ...         "algorithm.head": Choice(("prototypes", "ridge")),
      ...     },
      ... )
      >>> search.trials, search.space["algorithm.head"].values
      (20, ('prototypes', 'ridge'))
    """

    base: Config
    """Config of the base run, with the values of settings that are not searched."""
    space: Mapping[str, Range]
    """Search space: a distribution of values by the dotted name of a setting."""
    trials: int = 20
    """Number of trials, each of which trains with sampled settings."""
    seed: int = 0
    """Seed for sampling the settings of trials."""
    prune_after: int = 5
    """Number of trials before pruning: later trials end early if their best validation
    score is below the median of previous trials at the same step."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "space", current_names(self.space))


def with_settings(config: Config, settings: Mapping[str, Any]) -> Config:
    """Returns a config with other values of settings given by dotted names.

    Examples:
      >>> with_settings(Config(), {"training.steps": 7}).training.steps
      7
    """
    groups: dict[str, dict[str, Any]] = {}
    for name, value in current_names(settings).items():
        group, _, field = name.partition(".")
        groups.setdefault(group, {})[field] = value
    changed = {
        group: dataclasses.replace(getattr(config, group), **values)
        for group, values in groups.items()
    }
    return dataclasses.replace(config, **changed)


def check_search(config: SearchConfig) -> None:
    """Raises ValueError if a setting of the search is unknown or has an invalid range.

    Raises:
      ValueError: with the setting and its allowed values.
    """
    for name, count in (("trials", config.trials), ("prune_after", config.prune_after)):
        if count < 1:
            raise ValueError(f"{name} is {count}; give 1 or more.")
    if not config.space:
        raise ValueError(
            "the space of the search is empty; give it a setting, such as"
            ' "training.learning_rate": LogUniform(1e-5, 1e-3).'
        )
    _check_run(config.base)
    kinds = _kinds()
    for name, tried in config.space.items():
        if name not in kinds:
            near = difflib.get_close_matches(_last(name), map(_last, kinds), 3, 0.5)
            known = [known for known in kinds if _last(known) in near]
            raise ValueError(
                f"there is no setting {name!r}"
                + (f"; similar ones are {', '.join(known)}." if known else ".")
            )
        _refuse_fixed(name)
        _check_range(name, tried)
        for value in tried.ends:
            _check_value(name, kinds[name], value)
            _check_run(with_settings(config.base, {name: value}))


def _kinds() -> dict[str, Any]:
    """Returns the type of each setting by its dotted name."""
    groups = typing.get_type_hints(Config)
    return {
        f"{group}.{name}": kind
        for group, group_type in groups.items()
        for name, kind in typing.get_type_hints(group_type).items()
    }


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _refuse_fixed(name: str) -> None:
    group = name.partition(".")[0]
    selects_data = group == "data" and name not in OF_TRAINING_DATA
    if name in FIXED or selects_data or group == "evaluation":
        raise ValueError(
            f"{name} cannot be searched: it changes what is measured, so that scores"
            " would not be comparable. Set it in `base`."
        )


def _check_range(name: str, tried: Range) -> None:
    if isinstance(tried, Choice):
        if not isinstance(tried.values, tuple) or len(set(map(repr, tried.values))) < 2:
            raise ValueError(
                f"{name} has the choices {tried.values!r}; give a tuple of two or more."
            )
        return
    if not isinstance(tried, Uniform | LogUniform | Integers):
        raise ValueError(
            f"{name} is {tried!r}; give Uniform, LogUniform, Integers or Choice."
        )
    if not tried.low < tried.high < math.inf:
        raise ValueError(
            f"{name} goes from {tried.low} to {tried.high}; give a lower end below a"
            " higher one."
        )
    if isinstance(tried, LogUniform) and tried.low <= 0:
        raise ValueError(
            f"{name} goes from {tried.low}; LogUniform begins above 0, Uniform may"
            " begin at 0."
        )
    if isinstance(tried, Integers) and not fits(tuple[int, int], tried.ends):
        raise ValueError(f"{name} is {tried!r}; Integers go between whole numbers.")


def _check_value(name: str, kind: Any, value: Any) -> None:
    if not fits(kind, value):
        raise ValueError(
            f"{name} cannot be {value!r}; it is of the type {type_name(kind)}."
        )
    low, high = BOUNDS.get(name, (-math.inf, math.inf))
    if isinstance(value, numbers.Real) and not low <= float(value) <= high:
        most = "" if high == math.inf else f" to {high}"
        raise ValueError(f"{name} cannot be {value}; give {low}{most or ' or more'}.")


def _check_run(config: Config) -> None:
    """Checks a config as far as possible without its model and data."""
    check(config)
    algorithm = config.algorithm
    if resolve_algorithm(algorithm.name).is_baseline:
        raise ValueError(
            f"{algorithm.name} is a baseline without a meta-gradient; search"
            " another algorithm."
        )
    if algorithm.head is not None:
        _registry.resolve("head", HEADS, algorithm.head)
